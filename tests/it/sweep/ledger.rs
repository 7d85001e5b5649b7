//! The sweeper's queries of the ledger, on SQLite and on PostgreSQL.

use std::time::Duration;

use nidbridge::domain::{Cause, Event, Lane, Reason, ReasonCode, State};
use nidbridge::ledger::{Case, Expiry, Ledger, Resolution, Resumed, Stage, VendorReply};

use crate::harness::ledgers::{OpenLedger, both};
use crate::ledger::{TTL, event, issued, numbers, receive, reply, requested, state};

const NOW: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(3_600);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

async fn end(ledger: &Ledger, case: &Case, event: Event) {
    let (lease, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
    ledger.finish(lease, event, None).await.unwrap();
    ledger.release_record(lease).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_in_the_lane_that_its_message_is_in() {
    for OpenLedger { ledger, .. } in &both().await {
        let waits = async || {
            let mut lanes = Vec::new();
            for lane in Lane::ALL {
                let silent = ledger.overdue(lane, NOW, CENTURY, 10).await.unwrap();
                assert_eq!(u64::try_from(silent.len()).unwrap(), ledger.open_in(lane).await.unwrap());
                assert!(ledger.overdue(lane, LATER, CENTURY, 10).await.unwrap().is_empty());
                lanes.extend(silent.iter().map(|_| lane));
            }
            lanes
        };
        let case = receive(ledger, "r", 0).await;
        assert_eq!(waits().await, [Lane::Request]);
        ledger.requested(&case, None, false).await.unwrap();
        assert_eq!(waits().await, [Lane::Request], "the ID system's queue has it only once it says so");
        ledger.sent(case.attempt.id).await.unwrap();
        assert_eq!(waits().await, [Lane::Reply]);
        assert_eq!(
            reply(ledger, &case, 1, &issued(ledger, "1234567890")).await,
            Resolution::Answered(case.attempt.id)
        );
        assert_eq!(waits().await, [Lane::Outcome]);
        end(ledger, &case, Event::Confirm).await;
        assert_eq!(waits().await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_begins_the_wait_for_the_id_system_anew() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        ledger.sent(case.attempt.id).await.unwrap();
        let before = ledger.case(case.attempt.id).await.unwrap().unwrap().attempt.last_activity();
        let waited = async || (ledger.now().await.unwrap() > before).then_some(());
        crate::harness::eventually(TTL, "a millisecond passes", waited).await;
        reply(ledger, &case, 1, &VendorReply::Pending).await;
        assert!(ledger.case(case.attempt.id).await.unwrap().unwrap().attempt.last_activity() > before);
        assert_eq!(ledger.open_in(Lane::Reply).await.unwrap(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_ends_no_attempt_that_a_confirmer_has_leased() {
    for open in &both().await {
        let ledger = &open.ledger;
        let case = requested(ledger, "r", 0).await;
        reply(ledger, &case, 1, &issued(ledger, "1234567890")).await;
        open.execute("UPDATE attempt SET token_expires_at = 1").await.unwrap();
        let (lease, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        let outlived = async |quarantine| ledger.expirable(quarantine, false, 10).await.unwrap();
        assert!(outlived(NOW).await.is_empty());
        assert_eq!(ledger.expire(case.attempt.id, NOW, false).await.unwrap(), Expiry::LeftAlone);
        assert!(ledger.intend(lease, TTL).await.unwrap());
        ledger.release_record(lease).await.unwrap();
        // The write may still be applied.
        assert!(outlived(LATER).await.is_empty());
        assert_eq!(ledger.expire(case.attempt.id, LATER, false).await.unwrap(), Expiry::LeftAlone);
        assert_eq!(outlived(NOW).await, [case.attempt.id]);
        let ended = Expiry::Ended { orphan: true };
        assert_eq!(ledger.expire(case.attempt.id, NOW, false).await.unwrap(), ended);
        assert_eq!(state(ledger, &case).await, State::Expired);
        assert_eq!(ledger.expire(case.attempt.id, NOW, false).await.unwrap(), Expiry::LeftAlone);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_warned_once_for_each_end_of_a_token() {
    for open in &both().await {
        let ledger = &open.ledger;
        receive(ledger, "r", 0).await;
        let warned = async |notice| ledger.warn_expiring(notice, false, 10).await.unwrap().len();
        assert_eq!(warned(Duration::ZERO).await, 0);
        assert_eq!((warned(CENTURY).await, warned(CENTURY).await), (1, 0));
        // The token was renewed.
        open.execute("UPDATE attempt SET token_expires_at = token_expires_at + 1000").await.unwrap();
        assert_eq!((warned(CENTURY).await, warned(CENTURY).await), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_id_is_asked_for_again_and_must_be_the_same() {
    for OpenLedger { ledger, .. } in &both().await {
        let first = requested(ledger, "r", 0).await;
        reply(ledger, &first, 1, &issued(ledger, "1234567890")).await;
        assert!(!ledger.erase(&first.record.id, NOW).await.unwrap(), "an open attempt lost its data");
        end(ledger, &first, Event::Expire).await;
        assert!(ledger.erasable(LATER, 10).await.unwrap().is_empty());
        assert_eq!(ledger.erasable(NOW, 10).await.unwrap(), std::slice::from_ref(&first.record.id));
        assert!(ledger.erase(&first.record.id, NOW).await.unwrap());
        assert!(ledger.erasable(NOW, 10).await.unwrap().is_empty());
        let second = requested(ledger, "r", 1).await;
        assert_eq!((second.record.answer.is_some(), second.record.usable_answer()), (true, None));
        let other = reply(ledger, &second, 2, &issued(ledger, "2222222222")).await;
        assert!(matches!(other, Resolution::Refused(_)), "{other:?}");
        let same = reply(ledger, &second, 2, &issued(ledger, "1234567890")).await;
        assert_eq!(same, Resolution::Answered(second.attempt.id));
        let now = ledger.case(second.attempt.id).await.unwrap().unwrap();
        assert!(now.record.sealed_id.is_some() && now.record.usable_answer().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_holder_at_a_time_and_the_next_when_its_time_is_up() {
    for open in &both().await {
        let ours = &open.ledger;
        let theirs = open.reopen_as("other").await;
        assert!(
            ours.acquire_task_lease("x", TTL).await.unwrap()
                && ours.acquire_task_lease("x", TTL).await.unwrap()
        );
        assert!(
            !theirs.acquire_task_lease("x", TTL).await.unwrap()
                && theirs.acquire_task_lease("y", TTL).await.unwrap()
        );
        theirs.release_task_lease("x").await.unwrap();
        assert!(!theirs.acquire_task_lease("x", TTL).await.unwrap(), "one that has it not gave it away");
        ours.release_task_lease("x").await.unwrap();
        assert!(theirs.acquire_task_lease("x", Duration::ZERO).await.unwrap());
        assert!(ours.acquire_task_lease("x", TTL).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_client_an_expired_token_ends_no_attempt_of_the_events_generation() {
    for open in &both().await {
        let ledger = &open.ledger;
        let fhir = requested(ledger, "fhir", 0).await;
        let registration = event("events", 0, true);
        let events =
            ledger.receive(&registration, &numbers(), "v1.k.view", Some("v1.k.token")).await.unwrap().case;
        open.execute("UPDATE attempt SET token_expires_at = 1").await.unwrap();
        assert_eq!(ledger.expirable(NOW, true, 10).await.unwrap(), [fhir.attempt.id]);
        assert_eq!(ledger.expirable(NOW, false, 10).await.unwrap().len(), 2);
        assert_eq!(ledger.expire(events.attempt.id, NOW, true).await.unwrap(), Expiry::LeftAlone);
        ledger.park(&events, Stage::Confirm, Cause::RecordRefused).await.unwrap();
        let resume = async |has_client| ledger.check_resume(events.attempt.id, has_client).await.unwrap();
        assert_eq!(resume(false).await, Resumed::TokenExpired);
        assert!(matches!(resume(true).await, Resumed::Open(_)));
        let ended = Expiry::Ended { orphan: false };
        assert_eq!(ledger.expire(fhir.attempt.id, NOW, true).await.unwrap(), ended);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_warned_once_of_each_attempt_that_is_open_for_too_long() {
    for open in &both().await {
        let ledger = &open.ledger;
        let mut ids = Vec::new();
        for (record, token) in [("tokenless", None), ("with-token", Some("v1.k.token"))] {
            let registration = event(record, 0, token.is_some());
            let received = ledger.receive(&registration, &numbers(), "v1.k.view", token).await;
            ids.push(received.unwrap().case.attempt.id);
        }
        receive(ledger, "fhir", 0).await;
        let overdue = async |deadline| {
            let warned = ledger.warn_overdue(deadline, 10).await.unwrap();
            warned.iter().map(|case| case.attempt.id).collect::<Vec<_>>()
        };
        // `event` was accepted an hour ago.
        assert!(overdue(Duration::from_secs(7_200)).await.is_empty());
        let warned = overdue(Duration::from_secs(60)).await;
        assert!(ids.iter().all(|id| warned.contains(id)), "with a token and without");
        assert!(overdue(NOW).await.iter().all(|id| !ids.contains(id)), "once");
        let expiring = ledger.warn_expiring(CENTURY, true, 10).await.unwrap();
        assert_eq!(expiring.len(), 1, "only the token of the FHIR generation is needed");
        assert!(overdue(NOW).await.is_empty(), "once");
        let alerts = ledger.claim_alerts(10, TTL, TTL).await.unwrap();
        let count = |cause| alerts.iter().filter(|alert| alert.cause == cause).count();
        assert_eq!((count(Cause::Overdue), count(Cause::TokenExpiring)), (3, 1));
        assert!(alerts.iter().all(|alert| alert.state == State::Received), "nothing ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_sent_is_not_sent_again_after_its_own_expiry() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "late", 0).await;
        ledger.sent(case.attempt.id).await.unwrap();
        let due = async |deadline| ledger.overdue(Lane::Reply, NOW, deadline, 10).await.unwrap();
        assert_eq!(due(CENTURY).await, [case.attempt.id]);
        assert!(due(NOW).await.is_empty(), "the deadline has passed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_warned_once_of_an_attempt_that_fails_while_others_are_confirmed() {
    for open in &both().await {
        let ledger = &open.ledger;
        let failing = receive(ledger, "failing", 0).await;
        let note = async |tries| {
            let cause = Cause::GatewayUnavailable;
            ledger.note_failure(failing.attempt.id, cause, tries, LATER).await.unwrap();
            ledger.case(failing.attempt.id).await.unwrap().unwrap().attempt.failing
        };
        assert_eq!(note(1).await, None, "the first try writes nothing");
        let noted = note(2).await.unwrap();
        assert_eq!((noted.cause.as_str(), noted.count), ("gateway_unavailable", 2));
        assert!(noted.next_try_at.unwrap() > noted.since);
        assert_eq!(note(3).await.unwrap().count, 3);
        assert!(ledger.warn_failing(NOW, 10).await.unwrap().is_empty(), "nobody else gets through either");
        let other = requested(ledger, "other", 0).await;
        ledger.resolve(&other.record.id, 1, &issued(ledger, "1")).await.unwrap();
        end(ledger, &other, Event::Confirm).await;
        open.execute("UPDATE attempt SET failing_since = failing_since - 60000 WHERE 1 = 1").await.unwrap();
        let long = Duration::from_secs(30);
        assert!(ledger.warn_failing(long, 10).await.unwrap().is_empty(), "it was not tried since");
        open.execute("UPDATE attempt SET ended_at = ended_at - 30000 WHERE 1 = 1").await.unwrap();
        assert_eq!(ledger.warn_failing(long, 10).await.unwrap().len(), 1);
        assert!(ledger.warn_failing(long, 10).await.unwrap().is_empty(), "once");
        let alerts = ledger.claim_alerts(10, TTL, TTL).await.unwrap();
        assert_eq!(alerts.iter().filter(|alert| alert.cause == Cause::Failing).count(), 1);
        ledger.requested(&failing, None, false).await.unwrap();
        let moved = ledger.case(failing.attempt.id).await.unwrap().unwrap();
        assert_eq!(moved.attempt.failing, None, "cleared when it moves");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_alerted_once_to_an_id_system_that_asks_for_a_retry_for_ever() {
    for open in &both().await {
        let ledger = &open.ledger;
        let case = requested(ledger, "retried", 0).await;
        for count in 1..=52_u64 {
            let again = ledger.resolve(&case.record.id, 1, &VendorReply::Retry).await.unwrap();
            assert_eq!(again, Resolution::AskAgain { attempt: case.attempt.id, too_often: count == 50 });
            let now = ledger.case(case.attempt.id).await.unwrap().unwrap();
            assert_eq!(now.attempt.retries, count);
            let alerts = ledger.history(&case.record.id).await.unwrap();
            let alerted = alerts.iter().filter(|entry| entry.what == "asked_too_often").count();
            assert_eq!(alerted, usize::from(count >= 50), "{count}");
        }
        let alerts = ledger.claim_alerts(10, TTL, TTL).await.unwrap();
        assert_eq!(alerts.iter().filter(|alert| alert.cause == Cause::AskedTooOften).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reply_alerts_an_operator_once() {
    for open in &both().await {
        let ledger = &open.ledger;
        let case = requested(ledger, "contradicted", 0).await;
        let no = VendorReply::Rejected(Reason::of(ReasonCode::Other));
        ledger.resolve(&case.record.id, 1, &no).await.unwrap();
        for _ in 0..2 {
            let refused = Resolution::Refused(Cause::ContradictoryAnswer);
            assert_eq!(ledger.resolve(&case.record.id, 1, &issued(ledger, "1")).await.unwrap(), refused);
            let refused = Resolution::Refused(Cause::WrongSubmission);
            assert_eq!(ledger.resolve(&case.record.id, 7, &no).await.unwrap(), refused);
        }
        let alerts = ledger.claim_alerts(10, TTL, TTL).await.unwrap();
        let count = |cause| alerts.iter().filter(|alert| alert.cause == cause).count();
        assert_eq!((count(Cause::ContradictoryAnswer), count(Cause::WrongSubmission)), (1, 1));
    }
}
