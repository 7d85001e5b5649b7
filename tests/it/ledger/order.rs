//! The order of the attempts of a record, above all where OpenCRVS's clock cannot be trusted.

use jiff::{SignedDuration, Timestamp};
use nidbridge::domain::{Cause, Dialect, EventKind, Registration, RegistrationNumber, State};
use nidbridge::ledger::{About, HistoryEntry, Ledger, Receipt};

use super::{TTL, numbers, registration};
use crate::harness::ledgers::{OpenLedger, both};

/// A submission that is accepted `accepted` minutes and dated `stamp` minutes after a fixed time.
fn submitted(dialect: Dialect, stamp: i64, accepted: i64) -> Registration {
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let mut registration = registration("r", 0, EventKind::Birth);
    registration.key.dialect = dialect;
    registration.key.stamp = start + SignedDuration::from_mins(stamp);
    registration.key.mark = registration.key.stamp.to_string();
    registration.accepted_at = start + SignedDuration::from_mins(accepted);
    registration
}

async fn receive(ledger: &Ledger, registration: &Registration) -> Receipt {
    ledger.receive(registration, &numbers(), "v1.k.view", Some("v1.k.token")).await.unwrap()
}

async fn entry(ledger: &Ledger, receipt: &Receipt, what: &str) -> Option<HistoryEntry> {
    let history = ledger.history(&receipt.case.record.id).await.unwrap();
    history.into_iter().find(|one| one.what == what && one.attempt == Some(receipt.case.attempt.id))
}

/// The causes and attempts of the alerts that are due.
async fn alerts(ledger: &Ledger) -> Vec<(Cause, Option<nidbridge::domain::AttemptId>)> {
    let claimed = ledger.claim_alerts(10, TTL, TTL).await.unwrap();
    let of = |about| match about {
        About::Record { attempt, .. } => attempt,
        other @ (About::Parking { .. } | About::Many { .. } | About::Client { .. }) => panic!("{other:?}"),
    };
    claimed.into_iter().map(|alert| (alert.cause, of(alert.about))).collect()
}

/// The minutes of a day.
const DAY: i64 = 24 * 60;
/// Almost 8,000 years.
const AEONS: i64 = 4_190_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_of_a_clock_that_was_never_set_is_ordered_by_its_arrival_and_reported_once() {
    for years in [11, 56, 2_025] {
        for OpenLedger { ledger, .. } in &both().await {
            let earlier = receive(ledger, &submitted(Dialect::Fhir, -1, 0)).await;
            let late = receive(ledger, &submitted(Dialect::Fhir, -years * 365 * DAY, 10)).await;
            assert!(late.from_future && late.case.is_newest() && late.winner.is_none());
            let told = entry(ledger, &late, "stamp_too_old").await.unwrap();
            assert_eq!(told.cause, Some(Cause::StampInFuture.into()));
            assert_eq!(alerts(ledger).await, [(Cause::StampInFuture, Some(late.case.attempt.id))]);
            let next = receive(ledger, &submitted(Dialect::Fhir, 20, 20)).await;
            assert!(next.case.is_newest() && !next.from_future);
            let order: Vec<_> = ledger.attempts_of(&next.case.record.id).await.unwrap();
            let order: Vec<_> = order.iter().map(|case| case.attempt.id).collect();
            assert_eq!(order, [&earlier, &late, &next].map(|receipt| receipt.case.attempt.id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_from_the_future_goes_on_and_is_reported_once() {
    for (dialect, ahead) in [(Dialect::Fhir, DAY), (Dialect::Fhir, AEONS), (Dialect::Events, 6)] {
        for OpenLedger { ledger, .. } in &both().await {
            let first = receive(ledger, &submitted(dialect, ahead, 0)).await;
            assert!(first.fresh && first.from_future);
            assert_eq!((first.case.attempt.state, first.winner), (State::Received, None));
            let told = entry(ledger, &first, "stamp_in_future").await.unwrap();
            assert_eq!(told.cause, Some(Cause::StampInFuture.into()));
            assert!(told.why.unwrap().contains("accepted at 2026-03-01"));
            let again = receive(ledger, &submitted(dialect, ahead, 0)).await;
            assert!(!again.fresh && !again.from_future);
            assert_eq!(alerts(ledger).await, [(Cause::StampInFuture, Some(first.case.attempt.id))]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_genuine_attempt_after_one_from_the_future_takes_its_place() {
    for dialect in [Dialect::Fhir, Dialect::Events] {
        for ahead in [6, DAY, AEONS] {
            for OpenLedger { ledger, .. } in &both().await {
                let mut before = receive(ledger, &submitted(dialect, ahead, 0)).await;
                for minute in [1, 2, 3] {
                    let later = receive(ledger, &submitted(dialect, minute, minute)).await;
                    assert_eq!(later.case.attempt.state, State::Received, "{ahead} {minute}");
                    assert!(later.case.is_newest() && !later.from_future);
                    let replaced = ledger.case(before.case.attempt.id).await.unwrap().unwrap();
                    assert_eq!(replaced.attempt.state, State::Superseded);
                    before = later;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_attempts_from_the_future_are_ordered_by_their_arrival() {
    for OpenLedger { ledger, .. } in &both().await {
        receive(ledger, &submitted(Dialect::Fhir, 2 * DAY, 0)).await;
        let later = receive(ledger, &submitted(Dialect::Fhir, DAY, 1)).await;
        assert_eq!((later.case.attempt.state, later.case.attempt.submission), (State::Received, 2));
        let attempts = ledger.attempts_of(&later.case.record.id).await.unwrap();
        let submissions: Vec<u32> = attempts.iter().map(|case| case.attempt.submission).collect();
        assert_eq!(submissions, [1, 2], "listed in this order, too");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_within_the_tolerance_orders_the_attempts() {
    for OpenLedger { ledger, .. } in &both().await {
        let newer = receive(ledger, &submitted(Dialect::Fhir, 5, 0)).await;
        let older = receive(ledger, &submitted(Dialect::Fhir, 4, 4)).await;
        assert!(!newer.from_future);
        assert_eq!(older.case.attempt.state, State::Superseded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_arrives_superseded_names_the_newer_one_and_alerts_only_of_a_guess() {
    for (ahead, is_guess) in [(60, false), (DAY, true)] {
        for OpenLedger { ledger, .. } in &both().await {
            let newer = receive(ledger, &submitted(Dialect::Fhir, ahead, 60)).await;
            assert_eq!(newer.from_future, is_guess);
            alerts(ledger).await;
            let late = receive(ledger, &submitted(Dialect::Fhir, 1, 1)).await;
            assert_eq!(late.case.attempt.state, State::Superseded);
            let winner = late.winner.unwrap();
            assert_eq!((winner.attempt, winner.from_future), (newer.case.attempt.id, is_guess));
            let told = entry(ledger, &late, "superseded_on_arrival").await.unwrap();
            assert!(told.why.unwrap().contains(&newer.case.attempt.id.to_string()));
            let expected = (Cause::StampInFuture, Some(late.case.attempt.id));
            assert_eq!(alerts(ledger).await, if is_guess { vec![expected] } else { vec![] });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_release_that_believed_the_future_does_not_close_the_record() {
    for open in &both().await {
        let ledger = &open.ledger;
        receive(ledger, &submitted(Dialect::Fhir, DAY, 0)).await;
        open.execute("UPDATE record SET newest_stamp = 253370000000000").await.unwrap();
        let later = receive(ledger, &submitted(Dialect::Fhir, 1, 1)).await;
        assert_eq!(later.case.attempt.state, State::Received);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_that_a_country_gave_last_is_tried_again_even_if_an_earlier_attempt_is_dated_later() {
    let numbered = |mut registration: Registration, number: &str| {
        registration.number = Some(RegistrationNumber::parse(number).unwrap());
        registration
    };
    for OpenLedger { ledger, .. } in &both().await {
        for (owner, number) in [("owner-of-x", "X1"), ("owner-of-y", "Y1")] {
            receive(ledger, &numbered(registration(owner, 0, EventKind::Birth), number)).await;
        }
        receive(ledger, &numbered(submitted(Dialect::Fhir, DAY, 0), "X1")).await;
        receive(ledger, &numbered(submitted(Dialect::Fhir, 1, 1), "Y1")).await;
        let without = Registration { number: None, ..submitted(Dialect::Fhir, 2, 2) };
        let last = receive(ledger, &without).await;
        assert_eq!(last.case.attempt.state, State::Parked);
        let told = entry(ledger, &last, "number_of_record").await.unwrap();
        assert_eq!(told.why.as_deref(), Some("owner-of-y"));
    }
}
