//! The ledger: each test runs on SQLite and on PostgreSQL.

mod absent;
mod order;
mod rest;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nidbridge::domain::AnswerKind;
use nidbridge::domain::{
    AttemptKey, Cause, Dialect, Event, EventKind, NationalId, NumberRules, NumberScope, NumberTemplate,
    Reason, ReasonCode, RecordId, Registration, RegistrationNumber, State, TrackingId,
};
use nidbridge::ledger::{
    AttemptRow, Case, LeaseRefusal, Ledger, LedgerError, Recorded, Resolution, Resumed, SealedId, Selection,
    Stage, VendorReply,
};
use nidbridge::seal::Sealer;
use secrecy::SecretString;

use crate::harness::ledgers::{Engine, OpenLedger, SEAL_KEYS, both, fresh_url, ledger};

pub const TTL: Duration = Duration::from_secs(60);

pub fn registration(record: &str, minute: i64, kind: EventKind) -> Registration {
    // The stamp identifies the attempt, so it is the same in every call. Only the clock decides
    // what is due.
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let stamp = start + SignedDuration::from_mins(minute);
    let accepted_at = Timestamp::now() - SignedDuration::from_hours(1) + SignedDuration::from_mins(minute);
    let mut tracking = String::from("B");
    tracking.push_str(&record.replace('-', "").to_uppercase());
    Registration {
        key: AttemptKey {
            dialect: Dialect::Fhir,
            record: RecordId::parse(record).unwrap(),
            mark: stamp.to_string(),
            stamp,
        },
        kind,
        tracking_id: TrackingId::parse(&tracking).unwrap(),
        office: None,
        accepted_at,
        wait: Duration::ZERO,
        token_expires_at: Some(accepted_at + SignedDuration::from_hours(168)),
        number: RegistrationNumber::parse(record).ok(),
        unheard: false,
    }
}

/// The rules of a country in UTC whose numbers are unique everywhere. The template gives each
/// record its own id.
pub fn numbers() -> NumberRules {
    NumberRules {
        template: NumberTemplate::parse("{tracking_id}{office}").unwrap(),
        unique: NumberScope::default(),
        zone: jiff::tz::TimeZone::UTC,
        tolerance: Duration::from_secs(300),
    }
}

pub async fn receive(ledger: &Ledger, record: &str, minute: i64) -> Case {
    receive_as(ledger, record, minute, EventKind::Birth, record).await
}

async fn receive_as(ledger: &Ledger, record: &str, minute: i64, kind: EventKind, number: &str) -> Case {
    let number = RegistrationNumber::parse(number).ok();
    let registration = Registration { number, ..registration(record, minute, kind) };
    ledger.receive(&registration, &numbers(), "v1.k.view", Some("v1.k.token")).await.unwrap().case
}

pub async fn requested(ledger: &Ledger, record: &str, minute: i64) -> Case {
    let case = receive(ledger, record, minute).await;
    ledger.requested(&case, None, false).await.unwrap();
    case
}

pub fn issued(ledger: &Ledger, id: &str) -> VendorReply {
    let fingerprint = ledger.fingerprint(&NationalId::parse(id).unwrap());
    let earlier_fingerprints = [fingerprint.clone(), fingerprint.clone()];
    VendorReply::Issued(SealedId { sealed: format!("v1.k.{id}"), fingerprint, earlier_fingerprints })
}

pub fn rejected() -> VendorReply {
    VendorReply::Rejected(Reason::of(ReasonCode::NotEligible))
}

pub async fn state(ledger: &Ledger, case: &Case) -> State {
    ledger.case(case.attempt.id).await.unwrap().unwrap().attempt.state
}

pub async fn reply(ledger: &Ledger, case: &Case, submission: u32, reply: &VendorReply) -> Resolution {
    ledger.resolve(&case.record.id, submission, reply).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_attempt_twice_is_one_attempt_with_one_number() {
    for OpenLedger { ledger, .. } in &both().await {
        let first = receive_as(ledger, "r", 0, EventKind::Birth, "2026A").await;
        let again = receive_as(ledger, "r", 0, EventKind::Birth, "2027A").await;
        assert_eq!(first, again);
        assert_eq!(first.record.number.unwrap().as_str(), "2026A");
        assert_eq!(first.attempt.submission, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_attempt_supersedes_and_keeps_the_number_and_an_older_one_changes_nothing() {
    for OpenLedger { ledger, .. } in &both().await {
        let first = requested(ledger, "r", 5).await;
        let second = receive_as(ledger, "r", 9, EventKind::Birth, "other").await;
        let late = receive(ledger, "r", 1).await;
        assert_eq!(state(ledger, &first).await, State::Superseded);
        assert_eq!((second.attempt.state, second.attempt.submission), (State::Received, 2));
        assert_eq!((late.attempt.state, late.attempt.submission), (State::Superseded, 0));
        assert_eq!(second.record.number, first.record.number);
        assert_eq!(second.record.request, first.record.request);
        assert!(second.is_newest() && !late.is_newest());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_another_record_has_parks_the_registration() {
    for OpenLedger { ledger, .. } in &both().await {
        receive_as(ledger, "one", 0, EventKind::Birth, "2026A").await;
        let second = receive_as(ledger, "two", 0, EventKind::Birth, "2026A").await;
        assert_eq!(second.attempt.state, State::Parked);
        assert_eq!(second.attempt.cause, Some(Cause::NumberTaken.into()));
        assert_eq!(second.record.number, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_passes_to_the_newest_attempt_whichever_submission_it_answers() {
    for OpenLedger { ledger, .. } in &both().await {
        let first = requested(ledger, "r", 0).await;
        let second = receive(ledger, "r", 1).await;
        let id = issued(ledger, "1234567890");
        // *send* looks the second one up in OpenCRVS before it gets the answer.
        assert_eq!(reply(ledger, &first, 1, &id).await, Resolution::Noted);
        ledger.requested(&second, None, true).await.unwrap();
        assert_eq!(reply(ledger, &first, 1, &id).await, Resolution::Answered(second.attempt.id));
        assert_eq!(state(ledger, &second).await, State::Answered);
        assert_eq!(state(ledger, &first).await, State::Superseded);
        assert_eq!(reply(ledger, &first, 2, &id).await, Resolution::Answered(second.attempt.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_belongs_to_its_submission() {
    for OpenLedger { ledger, .. } in &both().await {
        let first = requested(ledger, "r", 0).await;
        let second = requested(ledger, "r", 1).await;
        assert_eq!(reply(ledger, &first, 1, &rejected()).await, Resolution::Noted);
        assert_eq!(state(ledger, &second).await, State::Requested);
        // Superseded or not, this was the first final answer to that submission.
        let late = reply(ledger, &first, 1, &issued(ledger, "1111111111")).await;
        assert_eq!(late, Resolution::Refused(Cause::ContradictoryAnswer));
        assert_eq!(state(ledger, &second).await, State::Requested);
        assert_eq!(reply(ledger, &first, 2, &rejected()).await, Resolution::Answered(second.attempt.id));
        let case = ledger.case(second.attempt.id).await.unwrap().unwrap();
        assert_eq!(case.attempt.reason.unwrap().code, ReasonCode::NotEligible);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_beside_a_newer_rejection_is_for_an_operator_to_decide() {
    for OpenLedger { ledger, .. } in &both().await {
        let first = requested(ledger, "r", 0).await;
        let second = requested(ledger, "r", 1).await;
        assert_eq!(reply(ledger, &first, 2, &rejected()).await, Resolution::Answered(second.attempt.id));
        let late = reply(ledger, &first, 1, &issued(ledger, "1111111111")).await;
        assert_eq!(late, Resolution::Refused(Cause::OrphanId));
        let case = ledger.case(second.attempt.id).await.unwrap().unwrap();
        assert_eq!(case.attempt.answer, Some(AnswerKind::Rejected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_final_answer_wins() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        reply(ledger, &case, 1, &issued(ledger, "1111111111")).await;
        let before = ledger.case(case.attempt.id).await.unwrap();
        for other in [issued(ledger, "2222222222"), rejected()] {
            let refused = Resolution::Refused(Cause::ContradictoryAnswer);
            assert_eq!(reply(ledger, &case, 1, &other).await, refused);
        }
        assert_eq!(ledger.case(case.attempt.id).await.unwrap(), before);
        let refusals = ledger.history(&case.record.id).await.unwrap();
        assert_eq!(refusals.iter().filter(|entry| entry.what == "reply_refused").count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_on_two_records_parks_the_second() {
    for OpenLedger { ledger, .. } in &both().await {
        let one = requested(ledger, "one", 0).await;
        let two = requested(ledger, "two", 0).await;
        reply(ledger, &one, 1, &issued(ledger, "1111111111")).await;
        let refused = Resolution::Refused(Cause::IdOfAnotherRecord);
        assert_eq!(reply(ledger, &two, 1, &issued(ledger, "1111111111")).await, refused);
        assert_eq!(state(ledger, &two).await, State::Parked);
        assert_eq!(state(ledger, &one).await, State::Answered);
    }
}

/// An ID as the worker seals it.
fn spelt(ledger: &Ledger, id: &str) -> SealedId {
    let sealer = Sealer::parse(&SecretString::from(SEAL_KEYS)).unwrap();
    let (record, id) = (RecordId::parse("r").unwrap(), NationalId::parse(id).unwrap());
    ledger.seal_id(&sealer, &record, &id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_in_another_spelling_parks_the_second_record_also_after_an_upgrade() {
    for OpenLedger { ledger, .. } in &both().await {
        let plain = requested(ledger, "plain", 0).await;
        reply(ledger, &plain, 1, &VendorReply::Issued(spelt(ledger, "3260054197"))).await;
        let odd = requested(ledger, "odd", 0).await;
        // Earlier releases took the fingerprint of the ID as it was spelt.
        let new = spelt(ledger, "44-٥٥ 66");
        let old = SealedId { fingerprint: new.earlier_fingerprints[0].clone(), ..new };
        reply(ledger, &odd, 1, &VendorReply::Issued(old)).await;
        for (number, spelling) in [
            "3260054197",
            "3260 054 197",
            "3260\u{a0}054\u{a0}197",
            "3260-054-197",
            "٣٢٦٠٠٥٤١٩٧",
            "３２６００５４１９７",
            "44-٥٥ 66",
        ]
        .into_iter()
        .enumerate()
        {
            let case = requested(ledger, &format!("other-{number}"), 0).await;
            let refused = Resolution::Refused(Cause::IdOfAnotherRecord);
            let issued = VendorReply::Issued(spelt(ledger, spelling));
            assert_eq!(reply(ledger, &case, 1, &issued).await, refused, "{spelling}");
        }
        for (case, spelling) in [(&plain, "3260-054-197"), (&odd, "44-٥٥ 66")] {
            let repeat = reply(ledger, case, 1, &VendorReply::Issued(spelt(ledger, spelling))).await;
            assert_eq!(repeat, Resolution::Answered(case.attempt.id), "{spelling}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_a_submission_that_was_never_made_is_in_the_history() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        let refused = Resolution::Refused(Cause::WrongSubmission);
        assert_eq!(reply(ledger, &case, 7, &issued(ledger, "1111111111")).await, refused);
        assert_eq!(state(ledger, &case).await, State::Requested);
        let last = ledger.history(&case.record.id).await.unwrap().pop().unwrap();
        assert_eq!(last.cause, Some(Cause::WrongSubmission.into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_confirmer_at_a_time_and_none_after_its_lease_is_lost() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        reply(ledger, &case, 1, &issued(ledger, "1111111111")).await;
        let (ours, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        assert_eq!(
            ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap_err(),
            LeaseRefusal::Taken
        );
        ledger.release_record(ours).await.unwrap();
        let (theirs, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        assert!(!ledger.intend(ours, TTL).await.unwrap(), "a lease that was given back still writes");
        ledger.release_record(ours).await.unwrap();
        assert!(ledger.intend(theirs, TTL).await.unwrap(), "an old lease took the new one away");
        ledger.release_record(theirs).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_not_given_back_ends_by_the_ledgers_clock() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        let (_lost, _) = ledger.lease_record(case.attempt.id, Duration::ZERO).await.unwrap().unwrap();
        assert!(ledger.lease_record(case.attempt.id, TTL).await.unwrap().is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_renews_the_lease_so_that_it_outlasts_the_write() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        reply(ledger, &case, 1, &issued(ledger, "1111111111")).await;
        let short = Duration::from_millis(1_500);
        let (lease, _) = ledger.lease_record(case.attempt.id, short).await.unwrap().unwrap();
        assert!(ledger.intend(lease, TTL).await.unwrap());
        tokio::time::sleep(short).await;
        let other = ledger.lease_record(case.attempt.id, TTL).await.unwrap();
        assert!(matches!(other, Err(LeaseRefusal::Taken)), "{other:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_parked_keeps_its_intent() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        reply(ledger, &case, 1, &issued(ledger, "1111111111")).await;
        let (lease, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        assert!(ledger.intend(lease, TTL).await.unwrap());
        ledger.finish(lease, Event::Park, Some(Cause::RecordRefused)).await.unwrap();
        let parked = ledger.case(case.attempt.id).await.unwrap().unwrap();
        assert_eq!(parked.record.intent.map(|intent| intent.attempt), Some(case.attempt.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_stays_until_the_result_of_the_write_is_known() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        reply(ledger, &case, 1, &issued(ledger, "1111111111")).await;
        let (lease, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        assert!(ledger.intend(lease, TTL).await.unwrap());
        let intent = |case: Case| case.record.intent.map(|intent| intent.attempt);
        assert_eq!(intent(ledger.case(case.attempt.id).await.unwrap().unwrap()), Some(case.attempt.id));
        // A newer attempt arrives while the write is under way. The result of the write is still
        // recorded and clears the intent.
        receive(ledger, "r", 1).await;
        let ended = ledger.finish(lease, Event::Confirm, None).await;
        assert!(matches!(ended, Err(LedgerError::Conflict(_))), "{ended:?}");
        assert_eq!(intent(ledger.case(case.attempt.id).await.unwrap().unwrap()), None);
        ledger.release_record(lease).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmer_that_lost_its_lease_may_only_report_the_registration() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        reply(ledger, &case, 1, &issued(ledger, "1111111111")).await;
        let (stopped, _) = ledger.lease_record(case.attempt.id, Duration::ZERO).await.unwrap().unwrap();
        let (writing, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        assert!(ledger.intend(writing, TTL).await.unwrap());
        ledger.retract(stopped, Cause::Leased).await.unwrap();
        let parked = ledger.finish(stopped, Event::Park, Some(Cause::RecordRefused)).await;
        assert!(matches!(parked, Err(LedgerError::LeaseLost)), "{parked:?}");
        let now = ledger.case(case.attempt.id).await.unwrap().unwrap();
        assert_eq!((now.attempt.state, now.record.intent.is_some()), (State::Answered, true));
        assert_eq!(ledger.finish(stopped, Event::Confirm, None).await.unwrap(), State::Confirmed);
        ledger.release_record(writing).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_stays_whatever_is_later_said_of_its_submission() {
    for OpenLedger { ledger, .. } in &both().await {
        let first = requested(ledger, "r", 0).await;
        let second = requested(ledger, "r", 1).await;
        let id = issued(ledger, "1111111111");
        assert_eq!(reply(ledger, &first, 1, &id).await, Resolution::Answered(second.attempt.id));
        // The process stopped before it published the outcome, and the ID system contradicts itself
        // meanwhile.
        let refused = Resolution::Refused(Cause::ContradictoryAnswer);
        assert_eq!(reply(ledger, &first, 1, &rejected()).await, refused);
        assert_eq!(reply(ledger, &first, 2, &rejected()).await, refused);
        assert_eq!(reply(ledger, &first, 1, &id).await, Resolution::Answered(second.attempt.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_comes_after_the_newest_submission_was_rejected_is_an_alarm() {
    for OpenLedger { ledger, .. } in &both().await {
        let first = requested(ledger, "r", 0).await;
        let second = requested(ledger, "r", 1).await;
        reply(ledger, &first, 2, &rejected()).await;
        let refused = Resolution::Refused(Cause::OrphanId);
        assert_eq!(reply(ledger, &first, 1, &issued(ledger, "1111111111")).await, refused);
        assert_eq!(state(ledger, &second).await, State::Answered);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_or_not_the_newest_is_not_written() {
    for OpenLedger { ledger, .. } in &both().await {
        let first = requested(ledger, "r", 0).await;
        let (lease, _) = ledger.lease_record(first.attempt.id, TTL).await.unwrap().unwrap();
        assert!(!ledger.intend(lease, TTL).await.unwrap(), "written without an answer");
        reply(ledger, &first, 1, &issued(ledger, "1111111111")).await;
        receive(ledger, "r", 1).await;
        assert!(!ledger.intend(lease, TTL).await.unwrap(), "an older attempt was written");
        ledger.release_record(lease).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_for_a_record_that_opencrvs_took_back_is_an_alarm() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        let (lease, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        ledger.finish(lease, Event::Withdraw, Some(Cause::MovedOn)).await.unwrap();
        let refused = Resolution::Refused(Cause::OrphanId);
        assert_eq!(reply(ledger, &case, 1, &issued(ledger, "1111111111")).await, refused);
        assert_eq!(state(ledger, &case).await, State::Withdrawn);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_on_one_record_leave_one_number_and_numbered_submissions() {
    for OpenLedger { ledger, .. } in &both().await {
        let tasks: Vec<_> = (0..16_i64)
            .map(|n| {
                let ledger = ledger.clone();
                tokio::spawn(async move { receive(&ledger, "r", n % 4).await })
            })
            .collect();
        let mut cases = Vec::new();
        for task in tasks {
            cases.push(task.await.unwrap());
        }
        let newest = cases.iter().max_by_key(|case| case.attempt.stamp).unwrap();
        let now = ledger.case(newest.attempt.id).await.unwrap().unwrap();
        assert!(now.is_newest());
        assert_eq!(ledger.counts().await.unwrap().get("received"), Some(&1));
        assert_eq!(ledger.counts().await.unwrap().get("superseded"), Some(&3));
    }
}

/// PostgreSQL checks a foreign key again when a transaction changes a row twice. That once caused a
/// deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_before_its_request_is_noted_as_sent_waits_for_nothing() {
    for OpenLedger { ledger, .. } in &both().await {
        for n in 0..40 {
            let case = requested(ledger, &format!("r{n}"), 0).await;
            let id = issued(ledger, &(1_234_567_890_u64 + n).to_string());
            let (sent, resolution) =
                tokio::join!(ledger.sent(case.attempt.id), ledger.resolve(&case.record.id, 1, &id));
            sent.unwrap();
            assert_eq!(resolution.unwrap(), Resolution::Answered(case.attempt.id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_opened_again_with_its_key_and_refuses_another() {
    for open in &both().await {
        let id = NationalId::parse("1234567890").unwrap();
        let again = open.reopen(&open.seal_keys).await.unwrap();
        assert_eq!(again.fingerprint(&id), open.ledger.fingerprint(&id));
        let other = format!("other:{}", "B".repeat(42) + "A=");
        let refused = open.reopen(&other).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Key(_)), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_only_ever_added_to() {
    for open in &both().await {
        let case = receive(&open.ledger, "r", 0).await;
        open.ledger.park(&case, Stage::Record, Cause::Unsealable).await.unwrap();
        for sql in ["DELETE FROM history", "UPDATE history SET what = 'nothing'"] {
            assert!(open.execute(sql).await.is_err(), "{sql} went through");
        }
        assert_eq!(open.ledger.history(&case.record.id).await.unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_find_one_ledger() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let url = fresh_url(engine).await;
        let opening: Vec<_> = (0..4)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { ledger(&url, SEAL_KEYS).await })
            })
            .collect();
        let id = NationalId::parse("1234567890").unwrap();
        let mut prints = Vec::new();
        for open in opening {
            prints.push(
                open.await.unwrap().unwrap_or_else(|fault| panic!("{engine:?}: {fault:?}")).fingerprint(&id),
            );
        }
        prints.dedup();
        assert_eq!(prints.len(), 1, "{engine:?}");
    }
}

/// Takes a ledger back to the schema of the release before `0010_country.sql`.
const BEFORE_0010: [&str; 21] = [
    "ALTER TABLE record DROP COLUMN number",
    "ALTER TABLE record RENAME COLUMN number_key TO number",
    "ALTER TABLE attempt DROP COLUMN given_number",
    "ALTER TABLE attempt DROP COLUMN checked_at",
    "ALTER TABLE attempt DROP COLUMN absent_at",
    "ALTER TABLE attempt DROP COLUMN failure_cause",
    "ALTER TABLE attempt DROP COLUMN failures",
    "ALTER TABLE attempt DROP COLUMN failing_since",
    "ALTER TABLE attempt DROP COLUMN failed_at",
    "ALTER TABLE attempt DROP COLUMN next_try_at",
    "ALTER TABLE attempt DROP COLUMN failing_reported",
    "ALTER TABLE attempt DROP COLUMN decision",
    "ALTER TABLE attempt DROP COLUMN retries",
    "ALTER TABLE alert DROP COLUMN detail",
    "ALTER TABLE parking DROP COLUMN newest",
    "DROP TABLE deployment",
    "ALTER TABLE attempt DROP COLUMN dialect",
    "ALTER TABLE attempt DROP COLUMN kind",
    "ALTER TABLE attempt DROP COLUMN tracking_id",
    "ALTER TABLE attempt DROP COLUMN office",
    "DELETE FROM _sqlx_migrations WHERE version >= 10",
];

/// Takes that ledger back to the schema of the release before `0009`, whose attempts all have a
/// token and name no action.
const BEFORE_0009: [&str; 2] =
    ["ALTER TABLE attempt DROP COLUMN action_id", "DELETE FROM _sqlx_migrations WHERE version = 9"];

/// Takes that ledger back to the schema of the release before `0008_unread.sql`, with values in the
/// columns that it drops.
const BEFORE_0008: [&str; 5] = [
    "ALTER TABLE record ADD COLUMN route TEXT",
    "ALTER TABLE record ADD COLUMN id_kind TEXT",
    "ALTER TABLE record ADD COLUMN reference TEXT",
    "UPDATE record SET route = 'amqp', id_kind = 'uin', reference = 'a text of the vendor'",
    "DELETE FROM _sqlx_migrations WHERE version = 8",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_an_older_release_is_upgraded_and_loses_only_what_was_never_read() {
    for open in &both().await {
        let case = requested(&open.ledger, "r", 0).await;
        reply(&open.ledger, &case, 1, &issued(&open.ledger, "1111111111")).await;
        let before = open.ledger.case(case.attempt.id).await.unwrap().unwrap();
        for sql in BEFORE_0010.iter().chain(&BEFORE_0009).chain(&BEFORE_0008).copied() {
            open.execute(sql).await.unwrap();
        }
        let upgraded = open.reopen(&open.seal_keys).await.unwrap();
        assert_eq!(upgraded.case(case.attempt.id).await.unwrap().unwrap(), before);
        for sql in ["SELECT route FROM record", "SELECT id_kind FROM record", "SELECT reference FROM record"]
        {
            assert!(open.execute(sql).await.is_err(), "{sql} still finds the column");
        }
    }
}

/// A registration of the events generation.
pub fn event(record: &str, minute: i64, token: bool) -> Registration {
    let mut event = registration(record, minute, EventKind::Birth);
    event.key.dialect = Dialect::Events;
    event.key.mark = format!("action-{minute}");
    if !token {
        event.token_expires_at = None;
    }
    event
}

async fn receive_event(ledger: &Ledger, event: &Registration) -> Case {
    let token = event.token_expires_at.map(|_| "v1.k.token");
    ledger.receive(event, &numbers(), "v1.k.view", token).await.unwrap().case
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_of_an_older_release_keep_all_they_have_and_new_ones_need_no_token() {
    for open in &both().await {
        let mut cases = Vec::new();
        for record in ["with-view", "moved"] {
            cases.push(receive_event(&open.ledger, &event(record, 0, true)).await);
        }
        open.ledger.requested(&cases[1], Some("00-1-2-01"), false).await.unwrap();
        open.execute("UPDATE attempt SET warned_for = 7, token_since = 8, token_key = 'k'").await.unwrap();
        let before = open.ledger.case(cases[1].attempt.id).await.unwrap().unwrap();
        assert_eq!(before.attempt.action.as_ref().map(nidbridge::domain::ActionId::as_str), Some("action-0"));
        for sql in BEFORE_0010.iter().chain(&BEFORE_0009).copied() {
            open.execute(sql).await.unwrap();
        }
        if open.engine() == Engine::Postgres {
            open.execute("ALTER TABLE attempt ALTER COLUMN token_expires_at SET NOT NULL").await.unwrap();
        }
        let upgraded = open.reopen(&open.seal_keys).await.unwrap();
        let mut expected = before;
        expected.attempt.action = None;
        assert_eq!(upgraded.case(expected.attempt.id).await.unwrap().unwrap(), expected);
        assert_eq!(upgraded.counts().await.unwrap().values().sum::<u64>(), 2);
        assert_eq!(
            upgraded.unchecked_tokens("k", None, 10).await.unwrap().len(),
            0,
            "other columns are kept"
        );
        let tokenless = receive_event(&upgraded, &event("tokenless", 0, false)).await;
        let AttemptRow { action, token_expires_at, sealed_token, .. } = &tokenless.attempt;
        assert_eq!(action.as_ref().map(nidbridge::domain::ActionId::as_str), Some("action-0"));
        assert_eq!((token_expires_at, sealed_token), (&None, &None));
        assert_eq!(receive_event(&upgraded, &event("tokenless", 0, false)).await, tokenless, "a repeat");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_without_a_token_is_listed_last_and_needs_expires_and_renews_nothing() {
    for OpenLedger { ledger, .. } in &both().await {
        let tokenless = receive_event(ledger, &event("a-tokenless", 0, false)).await;
        let with_token = receive_event(ledger, &event("with-token", 0, true)).await;
        let all = Selection { states: State::ALL.to_vec(), ..Selection::default() };
        let listed = ledger.list_attempts(&all, 10).await.unwrap();
        let ids: Vec<_> = listed.iter().map(|one| (one.attempt, one.token_expires_at)).collect();
        let expiry = with_token.attempt.token_expires_at;
        assert_eq!(ids, [(with_token.attempt.id, expiry), (tokenless.attempt.id, None)]);
        let groups = ledger.group_attempts(&all).await.unwrap();
        assert_eq!((groups[0].count, groups[0].first_expiry), (2, expiry));
        let soon = Selection { expiring_by: Some(Timestamp::MAX), ..all };
        assert_eq!(ledger.list_attempts(&soon, 10).await.unwrap().len(), 1, "it never expires");
        ledger.park(&tokenless, Stage::Confirm, Cause::TokenRefused).await.unwrap();
        assert!(ledger.needing_token(None, 10).await.unwrap().is_empty());
        assert_eq!(ledger.unchecked_tokens("k", None, 10).await.unwrap(), [with_token.attempt.id]);
        assert_eq!(
            ledger.warn_expiring(Duration::from_secs(100 * 365 * 86_400), false, 10).await.unwrap().len(),
            1
        );
        let resumed = ledger.check_resume(tokenless.attempt.id, false).await.unwrap();
        assert!(matches!(resumed, Resumed::Open(_)), "{resumed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_of_another_release_is_read_as_it_is_and_stops_nothing() {
    for open in &both().await {
        let case = requested(&open.ledger, "r", 0).await;
        open.execute("UPDATE attempt SET cause = 'of_a_newer_release'").await.unwrap();
        let read = open.ledger.case(case.attempt.id).await.unwrap().unwrap();
        assert_eq!(read.attempt.cause, Some(Recorded::Unknown("of_a_newer_release".into())));
        let summaries = open.ledger.summaries().await.unwrap();
        assert_eq!(summaries[0].cause, read.attempt.cause);
        let resolution = reply(&open.ledger, &case, 1, &issued(&open.ledger, "1111111111")).await;
        assert_eq!(resolution, Resolution::Answered(case.attempt.id));
    }
}
