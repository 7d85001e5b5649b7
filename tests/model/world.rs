//! The state of the model: OpenCRVS, the ledger, the queues, the ID system and two confirmers, for
//! one record.
//!
//! A queue is a set: its messages may be handled in any order, now, later, or twice, because a
//! stage that stops before its acknowledgement leaves the message there. Attempts are numbered 0
//! and 1; submissions count from 1.

use nidbridge::domain::lease::LeaseState;
use nidbridge::domain::{AnswerKind, RecordAnswer};
use nidbridge::domain::{Cause, Event, NegativePolicy, RecordState, State};

use super::explore::Timestamp;

/// An issued ID: the first one, or a different one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Id {
    A,
    B,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Says {
    Rejected,
    Issued(Id),
}

impl Says {
    pub const ALL: [Self; 3] = [Self::Rejected, Self::Issued(Id::A), Self::Issued(Id::B)];

    fn bit(self, submission: u8) -> u8 {
        let kind = match self {
            Self::Rejected => 0,
            Self::Issued(Id::A) => 1,
            Self::Issued(Id::B) => 2,
        };
        1 << (kind + 3 * (submission - 1))
    }
}

/// The request of OpenCRVS to the front. OpenCRVS sets the record to REJECTED if our answer is
/// lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Unsent,
    Open,
    /// Both sides know how the request ended, and `confirm_after` has passed.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpenCrvs {
    pub at: u8,
    pub status: RecordState,
    pub id: Option<Id>,
    pub phase: [Phase; 2],
    /// The applied confirmations, by the attempt whose answer they carried.
    pub confirms: [u8; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    pub state: State,
    pub submission: u8,
    pub answer: Option<AnswerKind>,
    pub cause: Option<Cause>,
    /// Whether an operator decided that OpenCRVS registers the record without an ID.
    pub without_id: bool,
    /// Whether the read before *send* has passed.
    pub checked: bool,
    /// Whether OpenCRVS turned out not to have the submission.
    pub absent: bool,
    /// The state in which a newer attempt superseded it, and its cause.
    pub before: Option<(State, Option<Cause>)>,
}

/// The holder of the last lease, and whether the lease is still active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    pub last: Option<u8>,
    pub live: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ledger {
    pub newest: Option<u8>,
    pub submissions: u8,
    pub rows: [Option<Row>; 2],
    pub id: Option<Id>,
    pub lease: Lease,
    pub intent: Option<u8>,
    /// Whether the quarantine of the intent has passed.
    pub quarantine_over: bool,
    /// Whether an alarm was raised for an ID that cannot reach OpenCRVS.
    pub orphan_reported: bool,
}

impl Ledger {
    pub fn known(&self) -> Option<RecordAnswer> {
        self.id.map(|_| RecordAnswer::Issued)
    }

    pub fn of_submission(&self, submission: u8) -> Option<usize> {
        (0..2).find(|i| self.rows[*i].is_some_and(|row| row.submission == submission))
    }

    /// The time of the intent, as the rules see it.
    pub fn intended(&self, now: Timestamp) -> Option<Timestamp> {
        self.intent.map(|_| if self.quarantine_over { Timestamp::UNIX_EPOCH } else { now })
    }

    /// The lease and the fence of confirmer `c`, as the rules see them.
    pub fn lease_state(&self, c: usize) -> (LeaseState, i64) {
        let until = if self.lease.live { Timestamp::MAX } else { Timestamp::UNIX_EPOCH };
        (LeaseState { fence: 1, until }, i64::from(self.lease.last == Some(c as u8)))
    }
}

/// Sets of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Queues {
    pub registrations: u8,
    pub requests: u8,
    pub outcomes: u8,
    replies: u8,
}

impl Queues {
    pub fn put_reply(&mut self, submission: u8, says: Says) {
        self.replies |= says.bit(submission);
    }

    pub fn drop_reply(&mut self, submission: u8, says: Says) {
        self.replies &= !says.bit(submission);
    }

    pub fn has_reply(&self, submission: u8, says: Says) -> bool {
        self.replies & says.bit(submission) != 0
    }
}

/// The ID system: what it was asked, and how many replies it may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdSystem {
    pub asked: [bool; 2],
    pub spoke: [bool; 2],
    /// Final answers beyond the first one to each submission: repeats and contradictions.
    pub more: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flight {
    Flying,
    Applied,
    Lost,
}

/// The step at which a confirmer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConfirmerState {
    Idle,
    Leased {
        attempt: u8,
        answer: AnswerKind,
    },
    Deciding {
        attempt: u8,
    },
    Ending {
        attempt: u8,
        event: Event,
        cause: Option<Cause>,
    },
    /// `late` means that the duration of a lease has passed since the intent.
    Intended {
        attempt: u8,
        late: bool,
    },
    Sent {
        attempt: u8,
        flight: Flight,
    },
    Retracting {
        attempt: u8,
        park: bool,
    },
}

impl ConfirmerState {
    pub fn attempt(self) -> Option<u8> {
        match self {
            Self::Idle => None,
            Self::Leased { attempt, .. }
            | Self::Deciding { attempt }
            | Self::Ending { attempt, .. }
            | Self::Intended { attempt, .. }
            | Self::Sent { attempt, .. }
            | Self::Retracting { attempt, .. } => Some(attempt),
        }
    }
}

/// The ways in which a state can break the promises of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrong {
    ConfirmedTwice,
    OlderOverNewer,
    WrittenOverTheRegistrar,
    OverwrittenByCore,
    IdChanged,
    EndWithoutCause,
    ConfirmedInVain,
    IdDroppedSilently,
    /// A write began although the ledger said that the token had expired and nothing would follow.
    WrittenAfterExpired,
    /// An attempt expired while a write of it was under way.
    ExpiredInFlight,
    /// An attempt expired although its token was valid.
    ExpiredAlive,
    /// OpenCRVS waits for an attempt that the ledger believes to be older than another one.
    NewestSuperseded,
    /// An operator closed an attempt while a write of it was under way.
    ClosedInFlight,
    /// The ID system was asked about a person whom OpenCRVS does not have.
    InventedAsked,
    NeverEnds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    pub crvs: OpenCrvs,
    pub ledger: Ledger,
    pub queues: Queues,
    pub nid: IdSystem,
    pub confirmers: [ConfirmerState; 2],
    /// Mutations under way for which no confirmer waits any more, by attempt.
    pub strays: [u8; 2],
    /// Attempts whose token has expired.
    pub dead: [bool; 2],
    /// The number of permanent refusals that the gateway may still give.
    pub refusals: u8,
    /// Whether an intent was committed although the ledger had a newer attempt.
    pub knew_newer: bool,
    /// The number of decisions that an operator may still take.
    pub decisions: u8,
    /// What a user of OpenCRVS posted with a token of the record.
    pub invented: Option<Invention>,
    pub wrong: Option<Wrong>,
}

/// A registration that does not come from core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Invention {
    /// A submission that the record never had, as attempt 1.
    Submission,
    /// Another person, under the stamp of attempt 0.
    Person,
}

/// How OpenCRVS's clock runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    Right,
    /// Far ahead at the first submission, and corrected after it.
    AheadOnce,
    Ahead,
}

/// The faults that the environment may cause.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    pub policy: NegativePolicy,
    /// Final answers beyond the first one to each submission.
    pub more_answers: u8,
    /// Permanent refusals of the gateway. An operator resumes the attempts that they park.
    pub refusals: u8,
    /// A registrar may take a waiting record back at any moment, even between our read and our
    /// write: OpenCRVS leaves this window open to every client.
    pub restless: bool,
    /// A write in that window is a violation only if the bridge could have known of the change.
    pub lenient: bool,
    /// A mutation may be applied after its quarantine.
    pub tardy: bool,
    pub confirmers: u8,
    /// The stages before the confirmer may stop anywhere and handle their messages again.
    pub stops: bool,
    /// The caller waits for the answer, and may get a rejection inside its own request.
    pub held: bool,
    /// A token may expire at any moment before its attempt has ended; an operator may replace it.
    pub mortal: bool,
    pub clock: Clock,
    /// The number of decisions that an operator may take.
    pub decisions: u8,
    /// A user of OpenCRVS may post what OpenCRVS does not have.
    pub inventive: bool,
}

impl World {
    pub fn start(scope: &Scope) -> Self {
        Self {
            crvs: OpenCrvs {
                at: 0,
                status: RecordState::Waiting,
                id: None,
                phase: [Phase::Open, Phase::Unsent],
                confirms: [0; 2],
            },
            ledger: Ledger {
                newest: None,
                submissions: 0,
                rows: [None; 2],
                id: None,
                lease: Lease { last: None, live: false },
                intent: None,
                quarantine_over: false,
                orphan_reported: false,
            },
            queues: Queues { registrations: 1, ..Queues::default() },
            nid: IdSystem { asked: [false; 2], spoke: [false; 2], more: scope.more_answers },
            confirmers: [ConfirmerState::Idle; 2],
            strays: [0; 2],
            dead: [false; 2],
            refusals: scope.refusals,
            knew_newer: false,
            decisions: scope.decisions,
            invented: None,
            wrong: None,
        }
    }

    /// Whether every accepted attempt is in a state that OpenCRVS or an operator sees, and the one
    /// for whose answer OpenCRVS waits is not superseded.
    pub fn is_over(&self) -> bool {
        let awaited = self.ledger.rows[usize::from(self.crvs.at)];
        let put_aside = awaited.is_some_and(|row| row.state == State::Superseded);
        let ended = |i: usize| {
            self.crvs.phase[i] == Phase::Unsent || self.ledger.rows[i].is_some_and(|row| !row.state.is_open())
        };
        let waits = self.crvs.status == RecordState::Waiting;
        (0..2).all(ended) && !(waits && put_aside)
    }

    /// One representative for all states that differ only in details on which nothing depends.
    pub fn canonical(mut self, scope: &Scope) -> Self {
        // A queued message for an attempt that has ended is acknowledged without effect. An attempt
        // that an invented one superseded may be revived, so it has not ended.
        let ended = |row: &Row| {
            let may_go_on = row.state == State::Superseded && scope.inventive;
            !row.state.is_open() && row.state != State::Parked && !may_go_on
        };
        for i in 0..2 {
            if self.ledger.rows[i].as_ref().is_some_and(ended) {
                self.queues.registrations &= !(1 << i);
                self.queues.requests &= !(1 << i);
                self.queues.outcomes &= !(1 << i);
                self.dead[i] &= self.confirmers.iter().any(|confirmer| confirmer.attempt() == Some(i as u8));
            }
        }
        if self.ledger.rows.iter().flatten().filter(|row| ended(row)).count() == 2 {
            self.ledger.intent = None;
            self.ledger.quarantine_over = false;
        }
        let idle = |c: u8| self.confirmers[usize::from(c)] == ConfirmerState::Idle;
        if self.ledger.lease.last.is_some_and(idle) {
            self.ledger.lease.last = None;
        }
        let rank =
            |c: usize| (super::explore::digest(&self.confirmers[c]), self.ledger.lease.last != Some(c as u8));
        if scope.confirmers == 2 && rank(0) > rank(1) {
            self.confirmers.swap(0, 1);
            self.ledger.lease.last = self.ledger.lease.last.map(|c| 1 - c);
        }
        self
    }

    /// The violation of this state, if there is one.
    pub fn fault(&self, scope: &Scope) -> Option<Wrong> {
        if self.wrong.is_some() {
            return self.wrong;
        }
        if self.crvs.confirms.iter().any(|n| *n > 1) {
            return Some(Wrong::ConfirmedTwice);
        }
        for (i, row) in self.ledger.rows.iter().enumerate() {
            let Some(row) = row else { continue };
            let caused = matches!(row.state, State::Withdrawn | State::Held | State::Expired | State::Parked);
            // The cause of a rejection that was told is the reason of the ID system.
            let unreasoned = row.state == State::Rejected && row.answer != Some(AnswerKind::Rejected);
            if (caused && row.cause.is_none()) || unreasoned {
                return Some(Wrong::EndWithoutCause);
            }
            if row.state == State::Confirmed && !scope.lenient && self.crvs.confirms[i] == 0 {
                return Some(Wrong::ConfirmedInVain);
            }
        }
        // An invented attempt takes the place of the genuine one until OpenCRVS is read.
        let awaited = self.ledger.rows[usize::from(self.crvs.at)];
        if self.invented.is_none() && awaited.is_some_and(|row| row.state == State::Superseded) {
            return Some(Wrong::NewestSuperseded);
        }
        let newest = self.ledger.newest.and_then(|i| self.ledger.rows[usize::from(i)])?;
        let reported = self.ledger.orphan_reported || newest.cause == Some(Cause::OrphanId);
        let dropped = match newest.state {
            State::Confirmed => self.crvs.id != self.ledger.id,
            State::Held | State::Withdrawn | State::Rejected | State::Expired => true,
            // An operator who closes an attempt knows of the ID.
            State::Received
            | State::Requested
            | State::Answered
            | State::Superseded
            | State::Closed
            | State::Parked => false,
        };
        (self.ledger.id.is_some() && dropped && !reported && !scope.lenient)
            .then_some(Wrong::IdDroppedSilently)
    }
}
