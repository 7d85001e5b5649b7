//! The confirm decision of the FHIR generation: what to do in OpenCRVS about an attempt that has
//! its answer.
//!
//! In this generation, writing is not idempotent. In 1.7–1.9, OpenCRVS checks no state: a second
//! `confirmRegistration` registers again, notifies the family again and appends a second number. So
//! the confirmer reads the state first, and [`decide`] alone decides.
//!
//! Invariant: the decision is [`Decision::Write`] only for a record that waits for exactly this
//! attempt.

use jiff::Timestamp;

use super::answer::{Answer, ReasonSource};
use super::attempt::Event;
use super::cause::Cause;
use super::ids::RegistrationNumber;
use super::order::{Seen, Submitted};

/// The status of a record in OpenCRVS (`RegStatus` of the gateway, 1.7–1.9), as far as the decision
/// needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordState {
    /// Not submitted for registration yet: in progress, declared or validated.
    BeforeValidation,
    /// `WAITING_VALIDATION`: the record waits for an answer.
    Waiting,
    /// `REGISTERED`, or a status that only a registered record reaches: certified, issued,
    /// correction requested.
    Registered,
    /// Rejected, archived or any other status in which the record does not wait.
    MovedOn,
}

/// What to do with a negative answer in the FHIR generation, which has no call for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NegativePolicy {
    /// Leave the record waiting and alert an operator.
    #[default]
    Hold,
    /// Confirm without an ID, with a comment that says so.
    ConfirmWithComment,
}

/// Everything that the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The record's status in OpenCRVS, read a moment ago.
    pub status: RecordState,
    /// When the record got that status (`status[0].timestamp`, which is `Task.lastModified`).
    pub since: Timestamp,
    /// The number under which OpenCRVS has the record, if any.
    pub number_there: Option<&'a str>,
    /// When `status` was read.
    pub read_at: Timestamp,
    /// When our attempt was submitted. Its stamp is `Task.lastModified` of the document that we
    /// were sent.
    pub submitted: Submitted,
    /// The number that we allocated.
    pub number: &'a RegistrationNumber,
    pub answer: &'a Answer,
    pub policy: NegativePolicy,
    /// Whether OpenCRVS waited for a sync answer, so that it may have the answer already.
    pub waited: bool,
}

/// What to do about the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Confirm the registration: with the ID if one was issued, with a comment if the answer is
    /// negative.
    Write,
    /// The record is registered under our number: an earlier write arrived.
    AlreadyConfirmed,
    /// OpenCRVS waits for a newer attempt than ours.
    Superseded,
    /// OpenCRVS moved the record on by itself.
    Withdrawn,
    /// OpenCRVS got the rejection as a sync answer.
    RejectedInRequest,
    /// The record is registered, but under a number that is not ours.
    OtherNumber,
    /// Leave the record waiting and alert an operator.
    Hold,
    /// The status that was read is older than our attempt: read again later.
    ReadAgain,
}

/// What the confirmer does to carry a decision out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Write to OpenCRVS.
    Write,
    /// Try again later.
    Later,
    /// End the attempt with this event and cause.
    End(Event, Option<Cause>),
}

impl Decision {
    /// The course for an attempt with this answer.
    pub fn course(self, answer: &Answer) -> Course {
        match self {
            Self::Write => Course::Write,
            Self::ReadAgain => Course::Later,
            Self::AlreadyConfirmed => Course::End(Event::Confirm, None),
            Self::Superseded => Course::End(Event::Supersede, None),
            Self::RejectedInRequest => Course::End(Event::Reject, None),
            Self::Withdrawn => {
                let (event, cause) = withdrawal(answer);
                Course::End(event, Some(cause))
            }
            Self::OtherNumber => Course::End(Event::Park, Some(Cause::OtherNumber)),
            Self::Hold => {
                let source = match answer {
                    Answer::Rejected(reason) => reason.source,
                    Answer::Issued(_) | Answer::Recorded | Answer::NotAsked => ReasonSource::IdSystem,
                };
                Course::End(Event::Hold, Some(source.cause()))
            }
        }
    }
}

/// The event and the cause with which an attempt ends when OpenCRVS moved the record on by itself.
/// If an ID was issued, the cause alerts an operator.
pub fn withdrawal(answer: &Answer) -> (Event, Cause) {
    let issued = matches!(answer, Answer::Issued(_));
    (Event::Withdraw, if issued { Cause::OrphanId } else { Cause::MovedOn })
}

pub fn decide(s: &Situation<'_>) -> Decision {
    let seen = s.submitted.compare(s.since, s.read_at);
    if seen == Seen::Before {
        return Decision::ReadAgain;
    }
    match s.status {
        RecordState::Waiting if seen == Seen::After => Decision::Superseded,
        // If OpenCRVS waits for a newer attempt, that attempt reaches the bridge and supersedes
        // ours.
        RecordState::Waiting if seen == Seen::Unclear => Decision::ReadAgain,
        RecordState::Waiting => match (s.answer, s.policy) {
            (Answer::Rejected(_), NegativePolicy::Hold) => Decision::Hold,
            (Answer::Rejected(_), NegativePolicy::ConfirmWithComment)
            | (Answer::Issued(_) | Answer::Recorded | Answer::NotAsked, _) => Decision::Write,
        },
        RecordState::Registered if s.number_there == Some(s.number.as_str()) => Decision::AlreadyConfirmed,
        RecordState::Registered => Decision::OtherNumber,
        // OpenCRVS rejected the record either because it got our answer or because it stopped
        // waiting for it. Either way the record ends as the ID system decided.
        RecordState::MovedOn if s.waited && matches!(s.answer, Answer::Rejected(_)) => {
            Decision::RejectedInRequest
        }
        RecordState::BeforeValidation | RecordState::MovedOn => Decision::Withdrawn,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{NationalId, Reason, ReasonCode};

    const STATES: [RecordState; 4] =
        [RecordState::BeforeValidation, RecordState::Waiting, RecordState::Registered, RecordState::MovedOn];

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn submitted() -> Submitted {
        Submitted { stamp: at(1_000), accepted_at: at(1_500), tolerance: Duration::from_secs(60) }
    }

    fn decided(status: RecordState, since: i64, answer: &Answer, policy: NegativePolicy) -> Decision {
        let number = RegistrationNumber::parse("2026BXXDBIC").unwrap();
        decide(&Situation {
            status,
            since: at(since),
            number_there: Some("2026BXXDBIC"),
            read_at: at(5_000),
            submitted: submitted(),
            number: &number,
            answer,
            policy,
            waited: false,
        })
    }

    fn issued() -> Answer {
        Answer::Issued(NationalId::parse("1234567890").unwrap())
    }

    #[test]
    fn only_a_record_that_waits_for_this_very_attempt_is_written() {
        for status in STATES {
            for since in [999, 1_000, 1_001] {
                let writes = decided(status, since, &issued(), NegativePolicy::Hold) == Decision::Write;
                assert_eq!(writes, status == RecordState::Waiting && since == 1_000, "{status:?} {since}");
            }
        }
    }

    #[test]
    fn a_read_that_is_older_than_the_attempt_decides_nothing() {
        for status in STATES {
            assert_eq!(decided(status, 999, &issued(), NegativePolicy::Hold), Decision::ReadAgain);
        }
    }

    /// OpenCRVS dated our attempt a day ahead, and its clock was corrected since.
    fn decided_after_a_correction(status: RecordState, since: i64) -> Decision {
        let day = 86_400_000;
        let number = RegistrationNumber::parse("2026BXXDBIC").unwrap();
        decide(&Situation {
            status,
            since: at(since),
            number_there: Some("2026BXXDBIC"),
            read_at: at(100_000),
            submitted: Submitted { stamp: at(day), accepted_at: at(1_000), ..submitted() },
            number: &number,
            answer: &issued(),
            policy: NegativePolicy::Hold,
            waited: false,
        })
    }

    #[test]
    fn an_attempt_from_the_future_is_written_and_ends_like_any_other() {
        let decided = decided_after_a_correction;
        assert_eq!(decided(RecordState::Waiting, 86_400_000), Decision::Write);
        assert_eq!(decided(RecordState::Registered, 90_000), Decision::AlreadyConfirmed);
        assert_eq!(decided(RecordState::MovedOn, 90_000), Decision::Withdrawn);
        assert_eq!(decided(RecordState::Waiting, 86_400_001), Decision::Superseded);
    }

    #[test]
    fn an_attempt_from_the_future_does_not_end_because_of_an_older_status() {
        for status in STATES {
            assert_eq!(decided_after_a_correction(status, 80_000_000), Decision::ReadAgain);
            assert_eq!(decided_after_a_correction(status, -60_000), Decision::ReadAgain);
        }
        let waits = decided_after_a_correction(RecordState::Waiting, 90_000);
        assert_eq!(waits, Decision::ReadAgain, "whether it waits for ours is not known");
    }

    #[test]
    fn a_negative_answer_is_held_unless_the_country_says_otherwise() {
        let no = Answer::Rejected(Reason::of(ReasonCode::NotEligible));
        assert_eq!(decided(RecordState::Waiting, 1_000, &no, NegativePolicy::Hold), Decision::Hold);
        let unfit = Reason { source: ReasonSource::Bridge, ..Reason::of(ReasonCode::MissingData) };
        for (answer, cause) in [(&no, Cause::RejectedByIdSystem), (&Answer::Rejected(unfit), Cause::Unfit)] {
            assert_eq!(Decision::Hold.course(answer), Course::End(Event::Hold, Some(cause)));
        }
        assert_eq!(
            decided(RecordState::Waiting, 1_000, &no, NegativePolicy::ConfirmWithComment),
            Decision::Write
        );
    }

    #[test]
    fn a_rejection_given_as_a_sync_answer_ends_the_attempt() {
        let number = RegistrationNumber::parse("2026BXXDBIC").unwrap();
        let no = Answer::Rejected(Reason::of(ReasonCode::NotEligible));
        let decided = |waited, answer: &Answer| {
            decide(&Situation {
                status: RecordState::MovedOn,
                since: at(1_001),
                number_there: None,
                read_at: at(5_000),
                submitted: submitted(),
                number: &number,
                answer,
                policy: NegativePolicy::Hold,
                waited,
            })
        };
        assert_eq!(decided(true, &no).course(&no), Course::End(Event::Reject, None));
        assert_eq!(decided(false, &no), Decision::Withdrawn);
        assert_eq!(decided(true, &issued()), Decision::Withdrawn, "an issued ID is an alarm all the same");
    }

    #[test]
    fn an_id_that_was_issued_for_a_record_that_moved_on_is_an_alarm() {
        let no = Answer::Rejected(Reason::of(ReasonCode::NotEligible));
        assert_eq!(withdrawal(&issued()), (Event::Withdraw, Cause::OrphanId));
        for answer in [no, Answer::Recorded, Answer::NotAsked] {
            assert_eq!(withdrawal(&answer), (Event::Withdraw, Cause::MovedOn));
        }
    }

    #[test]
    fn a_registered_record_is_ours_only_under_our_number() {
        let theirs = RegistrationNumber::parse("2026OTHER").unwrap();
        let situation = Situation {
            status: RecordState::Registered,
            since: at(2_000),
            number_there: Some("2026BXXDBIC"),
            read_at: at(5_000),
            submitted: submitted(),
            number: &theirs,
            answer: &Answer::NotAsked,
            policy: NegativePolicy::Hold,
            waited: false,
        };
        assert_eq!(decide(&situation), Decision::OtherNumber);
        assert_eq!(
            decided(RecordState::Registered, 2_000, &Answer::NotAsked, NegativePolicy::Hold),
            Decision::AlreadyConfirmed
        );
    }
}
