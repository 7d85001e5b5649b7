//! Attempts that are held, parked or expired: decisions of an operator, and dead tokens.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nidbridge::domain::{
    AttemptId, Cause, DecisionRefusal, Event, EventKind, OperatorDecision, Reason, ReasonCode, Registration,
    State,
};
use nidbridge::ledger::{Case, Decided, Deciding, Expiry, Ledger, Replaced, Resolution, Resumed};

use super::{TTL, issued, numbers, registration, rejected, reply, requested, state};
use crate::harness::ledgers::{OpenLedger, both};

async fn decide(
    ledger: &Ledger,
    attempt: AttemptId,
    decision: &OperatorDecision,
    quarantine: Duration,
) -> Decided {
    let (numbers, reason) = (numbers(), Reason::of(ReasonCode::Other));
    let deciding = Deciding {
        decision,
        id: None,
        reason: &reason,
        numbers: &numbers,
        has_client: false,
        quarantine,
        deadline: Duration::from_secs(7 * 24 * 3_600),
    };
    ledger.decide(attempt, &deciding, Some("a test")).await.unwrap()
}

/// Begins a write whose result is not known, and parks the attempt because a later read was refused.
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
