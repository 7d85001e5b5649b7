//! Attempts that are held, parked or expired: decisions of an operator, and dead tokens.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nidbridge::domain::{
    AttemptId, Cause, DecisionRefusal, Event, EventKind, OperatorDecision, Reason, ReasonCode, RecordId,
    Registration, RegistrationNumber, RequestId, State,
};
use nidbridge::ledger::{
    Case, Decided, Deciding, Expiry, HistoryEntry, Ledger, Replaced, Resolution, Resumed, SealedId,
    VendorReply,
};

use super::{TTL, issued, numbers, receive, registration, rejected, reply, requested, state};
use crate::harness::ledgers::{OpenLedger, both};

async fn decide(
    ledger: &Ledger,
    attempt: AttemptId,
    decision: &OperatorDecision,
    quarantine: Duration,
) -> Decided {
    decide_with(ledger, attempt, decision, None, quarantine).await
}

async fn decide_with(
    ledger: &Ledger,
    attempt: AttemptId,
    decision: &OperatorDecision,
    id: Option<&SealedId>,
    quarantine: Duration,
) -> Decided {
    let (numbers, reason) = (numbers(), Reason::of(ReasonCode::Other));
    let deciding = Deciding {
        decision,
        id,
        reason: &reason,
        numbers: &numbers,
        has_client: false,
        quarantine,
        deadline: Duration::from_secs(7 * 24 * 3_600),
    };
    ledger.decide(attempt, &deciding, Some("a test")).await.unwrap()
}

/// The cause and the detail of each alert.
async fn alerts(ledger: &Ledger) -> Vec<(Cause, Option<String>)> {
    let claimed = ledger.claim_alerts(50, TTL, TTL).await.unwrap();
    claimed.into_iter().map(|alert| (alert.cause, alert.detail)).collect()
}

fn sealed(ledger: &Ledger, id: &str) -> SealedId {
    let VendorReply::Issued(id) = issued(ledger, id) else { panic!("issued") };
    id
}

fn detail(decided: &str, reply: &str) -> (Cause, Option<String>) {
    let text = format!("decided by an operator: {decided}; reply of the ID system: {reply}");
    (Cause::DecidedOtherwise, Some(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_differs_from_a_decision_is_not_called_the_id_systems_second_answer() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "by-hand", 0).await;
        let id = sealed(ledger, "1111111111");
        let decided = decide_with(ledger, case.attempt.id, &OperatorDecision::Issued, Some(&id), TTL).await;
        assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
        // The ID system says the same: there is nothing to tell.
        let same = reply(ledger, &case, 1, &issued(ledger, "1111111111")).await;
        assert_eq!(same, Resolution::Answered(case.attempt.id));
        let refused = Resolution::Refused(Cause::DecidedOtherwise);
        for _ in 0..2 {
            assert_eq!(reply(ledger, &case, 1, &rejected()).await, refused);
            assert_eq!(reply(ledger, &case, 1, &issued(ledger, "2222222222")).await, refused);
        }
        let orphan = "issued, with an ID that OpenCRVS does not have";
        assert_eq!(alerts(ledger).await, [detail("issued", "rejected"), detail("issued", orphan)]);
        let history = ledger.history(&case.record.id).await.unwrap();
        let why: Vec<_> = history.iter().filter(|entry| entry.what == "reply_refused").collect();
        assert_eq!((why.len(), why[0].why.clone()), (4, detail("issued", "rejected").1));

        // A corrected submission has the ID by hand as well.
        let corrected = requested(ledger, "by-hand", 1).await;
        assert_eq!(reply(ledger, &corrected, 2, &rejected()).await, refused);
        assert_eq!(alerts(ledger).await, [detail("issued", "rejected")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_comes_after_an_operator_registered_without_one_is_told_as_such() {
    for OpenLedger { ledger, .. } in &both().await {
        let without = OperatorDecision::WithoutId { comment: None };
        let orphan = "issued, with an ID that OpenCRVS does not have";
        for (record, decision) in [("without", &without), ("closed", &OperatorDecision::Close)] {
            let case = requested(ledger, record, 0).await;
            let decided = decide(ledger, case.attempt.id, decision, TTL).await;
            assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
            let late = reply(ledger, &case, 1, &issued(ledger, &format!("11111111{}", record.len()))).await;
            assert_eq!(late, Resolution::Refused(Cause::DecidedOtherwise), "{record}");
            assert_eq!(alerts(ledger).await, [detail(decision.as_str(), orphan)]);
        }
        // Here the ID system itself had said no before.
        let case = requested(ledger, "held", 0).await;
        reply(ledger, &case, 1, &rejected()).await;
        let (lease, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        ledger.finish(lease, Event::Hold, Some(Cause::RejectedByIdSystem)).await.unwrap();
        ledger.release_record(lease).await.unwrap();
        decide(ledger, case.attempt.id, &without, TTL).await;
        let second = reply(ledger, &case, 1, &issued(ledger, "4444444444")).await;
        assert_eq!(second, Resolution::Refused(Cause::ContradictoryAnswer));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_records_with_one_id_each_names_the_other() {
    for OpenLedger { ledger, .. } in &both().await {
        let owner = requested(ledger, "owner", 0).await;
        reply(ledger, &owner, 1, &issued(ledger, "1111111111")).await;
        let (named, parked) = ("record owner has the ID", Cause::IdOfAnotherRecord);
        let second = requested(ledger, "second", 0).await;
        let refused = reply(ledger, &second, 1, &issued(ledger, "1111111111")).await;
        assert_eq!(refused, Resolution::Refused(parked));
        assert_eq!(alerts(ledger).await, [(parked, Some(named.to_owned()))]);
        // For a record with an ID of its own it is a contradiction.
        let third = requested(ledger, "third", 0).await;
        reply(ledger, &third, 1, &issued(ledger, "3333333333")).await;
        reply(ledger, &third, 1, &issued(ledger, "1111111111")).await;
        assert_eq!(alerts(ledger).await, [(Cause::ContradictoryAnswer, Some(named.to_owned()))]);
        // An operator enters it.
        let fourth = requested(ledger, "fourth", 0).await;
        let id = sealed(ledger, "1111111111");
        let taken = decide_with(ledger, fourth.attempt.id, &OperatorDecision::Issued, Some(&id), TTL).await;
        assert_eq!(taken, Decided::IdTaken(owner.record.id.clone()));
        assert_eq!(alerts(ledger).await, [(parked, Some(named.to_owned()))]);
        for (case, what) in
            [(&second, "reply_refused"), (&third, "reply_refused"), (&fourth, "decision_refused")]
        {
            let history = ledger.history(&case.record.id).await.unwrap();
            let entry = history.iter().find(|entry| entry.what == what).unwrap();
            assert_eq!(entry.why.as_deref(), Some(named));
        }
        let history = ledger.history(&owner.record.id).await.unwrap();
        for (what, record) in
            [("id_issued_again", "second"), ("id_issued_again", "third"), ("id_entered_again", "fourth")]
        {
            let of_this = |entry: &&HistoryEntry| {
                entry.what == what && entry.why.as_deref().is_some_and(|why| why.contains(record))
            };
            assert_eq!(history.iter().filter(of_this).count(), 1, "{what} {record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_keeps_its_first_number_and_an_operator_is_told_once_that_another_was_given() {
    for OpenLedger { ledger, .. } in &both().await {
        let given = async |record: &str, minute: i64, number: Option<&str>| {
            let number = number.map(|number| RegistrationNumber::parse(number).unwrap());
            let registration = Registration { number, ..registration(record, minute, EventKind::Birth) };
            let receipt = ledger.receive(&registration, &numbers(), "v1.k.view", Some("v1.k.token")).await;
            receipt.unwrap().case
        };
        for (record, first, second) in
            [("templated", None, "0200/2025"), ("given", Some("0100/2025"), "0101/2025")]
        {
            let before = given(record, 0, first).await.record.number;
            for same in [first, None] {
                given(record, 1, same).await;
            }
            assert_eq!(alerts(ledger).await, [], "{record}");
            for _ in 0..2 {
                assert_eq!(given(record, 2, Some(second)).await.record.number, before);
            }
            let [(cause, detail)] = alerts(ledger).await.try_into().unwrap();
            assert_eq!(cause, Cause::NumberKept);
            let history = ledger.history(&RecordId::parse(record).unwrap()).await.unwrap();
            let kept: Vec<_> = history.iter().filter(|entry| entry.what == "number_kept").collect();
            assert_eq!((kept.len(), &kept[0].why), (1, &detail));
            assert!(!format!("{kept:?}").contains("2025"), "{kept:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_found_by_each_of_its_names() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = receive(ledger, "r", 0).await;
        let Case { record, attempt } = &case;
        let request = RequestId::of(&record.id, &EventKind::Birth).to_string();
        let number = record.number.as_ref().unwrap().as_str();
        let (tracking, attempt) = (record.tracking_id.as_str(), attempt.id.to_string());
        for name in [
            "r",
            &request,
            &request.to_ascii_uppercase(),
            tracking,
            &tracking.to_ascii_lowercase(),
            &attempt,
            number,
        ] {
            assert_eq!(ledger.find_records(name).await.unwrap(), std::slice::from_ref(&record.id), "{name}");
        }
        assert_eq!(ledger.find_records("nobody").await.unwrap(), []);
    }
}

/// Begins a write whose result is not known, and parks the attempt because a later read was
/// refused.
async fn parked_in_doubt(ledger: &Ledger) -> Case {
    let case = requested(ledger, "r", 0).await;
    reply(ledger, &case, 1, &rejected()).await;
    let (lease, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
    assert!(ledger.intend(lease, TTL).await.unwrap());
    ledger.finish(lease, Event::Park, Some(Cause::RecordRefused)).await.unwrap();
    ledger.release_record(lease).await.unwrap();
    case
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_while_a_write_may_arrive_and_no_answer_while_its_result_is_unknown() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = parked_in_doubt(ledger).await;
        let without = OperatorDecision::WithoutId { comment: None };
        for decision in [&without, &OperatorDecision::Close] {
            let refused = decide(ledger, case.attempt.id, decision, TTL).await;
            assert_eq!(refused, Decided::Refused(DecisionRefusal::BeingWritten), "{decision:?}");
        }
        let refused = decide(ledger, case.attempt.id, &without, Duration::ZERO).await;
        assert_eq!(refused, Decided::Refused(DecisionRefusal::WriteUnknown));
        assert_eq!(state(ledger, &case).await, State::Parked);
        let closed = decide(ledger, case.attempt.id, &OperatorDecision::Close, Duration::ZERO).await;
        assert!(matches!(closed, Decided::Done(_)), "{closed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_asked_about_again_is_a_new_submission() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        reply(ledger, &case, 1, &rejected()).await;
        let (lease, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        ledger.finish(lease, Event::Hold, Some(Cause::RejectedByIdSystem)).await.unwrap();
        ledger.release_record(lease).await.unwrap();
        let again = decide(ledger, case.attempt.id, &OperatorDecision::AskAgain, TTL).await;
        assert!(matches!(again, Decided::Done(_)), "{again:?}");
        let now = ledger.case(case.attempt.id).await.unwrap().unwrap();
        assert_eq!((now.attempt.state, now.attempt.submission), (State::Requested, 2));
        let answered = reply(ledger, &case, 2, &issued(ledger, "1234567890")).await;
        assert_eq!(answered, Resolution::Answered(case.attempt.id));
    }
}

/// An attempt whose token has expired.
async fn outlived(ledger: &Ledger) -> Case {
    let died = Timestamp::now() - SignedDuration::from_mins(1);
    let registration =
        Registration { token_expires_at: Some(died), ..registration("r", 0, EventKind::Birth) };
    ledger.receive(&registration, &numbers(), "v1.k.view", Some("v1.k.token")).await.unwrap().case
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_token_was_replaced_just_before_does_not_expire() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = outlived(ledger).await;
        assert_eq!(ledger.expirable(TTL, false, 10).await.unwrap(), [case.attempt.id]);
        let until = Timestamp::now() + SignedDuration::from_hours(168);
        assert_eq!(ledger.replace_token(&case, "v1.k.second", until).await.unwrap(), Replaced::Done);
        assert_eq!(ledger.expire(case.attempt.id, TTL, false).await.unwrap(), Expiry::LeftAlone);
        assert_eq!(state(ledger, &case).await, State::Received);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_not_resumed_with_a_token_that_has_expired() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = outlived(ledger).await;
        ledger.park(&case, nidbridge::ledger::Stage::Record, Cause::Internal).await.unwrap();
        let resumed = ledger.resume(case.attempt.id, &numbers(), false, "a test").await.unwrap();
        assert_eq!(resumed, Resumed::TokenExpired);
        assert_eq!(state(ledger, &case).await, State::Parked);
    }
}
