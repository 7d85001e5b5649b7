//! Record tokens in the ledger, on SQLite and on PostgreSQL.

use std::time::Duration;

use jiff::SignedDuration;
use nidbridge::domain::{Cause, Event, State};
use nidbridge::ledger::{Case, Expiry, Ledger, RenewalRule, Replaced, Stage, TokenChange, TokenCheck};

use crate::harness::ledgers::{OpenLedger, both};
use crate::ledger::{TTL, issued, receive, rejected, reply, requested, state};

const AT_ONCE: RenewalRule = RenewalRule { at_percent: 0, until: Duration::from_secs(3_650 * 86_400) };

async fn read(ledger: &Ledger, case: &Case) -> Case {
    ledger.case(case.attempt.id).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_token_never_replaces_a_newer_one() {
    for OpenLedger { ledger, .. } in &both().await {
        let before = requested(ledger, "r", 0).await;
        let (soon, late) = (SignedDuration::from_hours(1), SignedDuration::from_hours(2));
        let died = before.attempt.token_expires_at.unwrap();
        assert!(!ledger.renew_token(&before, "v1.k.same", died).await.unwrap(), "it lives no longer");
        assert!(ledger.renew_token(&before, "v1.k.second", died + late).await.unwrap());
        for expires in [soon, late * 2] {
            assert!(!ledger.renew_token(&before, "v1.k.third", died + expires).await.unwrap());
            assert_eq!(
                ledger.replace_token(&before, "v1.k.third", died + expires).await.unwrap(),
                Replaced::Moved
            );
        }
        let now = read(ledger, &before).await;
        assert_eq!(now.attempt.sealed_token.as_deref(), Some("v1.k.second"));
        assert_eq!(now.attempt.token_expires_at, Some(died + late));
        assert!(!ledger.renew_token(&now, "v1.k.third", died + soon).await.unwrap());
        // An operator may replace it: the key may have changed since.
        assert_eq!(ledger.replace_token(&now, "v1.k.third", died + soon).await.unwrap(), Replaced::Done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_due_when_its_share_has_gone_and_neither_twice_nor_for_ever() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        let due = async |rule| ledger.renewable(rule, None, 10).await.unwrap().len();
        assert_eq!(due(AT_ONCE).await, 1);
        assert_eq!(
            due(RenewalRule { until: Duration::from_millis(1), ..AT_ONCE }).await,
            0,
            "accepted too long ago"
        );
        ledger.postpone_renewal(&case, TTL).await.unwrap();
        assert_eq!(due(AT_ONCE).await, 0, "postponed");
        let until = case.attempt.token_expires_at.unwrap() + SignedDuration::from_hours(1);
        assert!(ledger.renew_token(&case, "v1.k.second", until).await.unwrap());
        assert_eq!(
            due(RenewalRule { at_percent: 1, ..AT_ONCE }).await,
            0,
            "the fresh one's life has just begun"
        );
        ledger.park(&read(ledger, &case).await, Stage::Confirm, Cause::NumberTaken).await.unwrap();
        assert_eq!(due(AT_ONCE).await, 1, "a parked attempt may be resumed, so its token is renewed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_told_once_until_it_has_another_token() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        let judged = async |case: &Case, key: &str, judgement| {
            assert_eq!(ledger.unchecked_tokens(key, None, 10).await.unwrap().len(), 1);
            let judged = ledger.token_checked(case, key, judgement).await.unwrap();
            assert_eq!(ledger.unchecked_tokens(key, None, 10).await.unwrap().len(), 0);
            judged
        };
        assert_eq!(judged(&case, "a", TokenCheck::Valid).await, TokenChange::None);
        assert_eq!(judged(&case, "b", TokenCheck::Orphaned).await, TokenChange::NewlyOrphaned);
        assert_eq!(judged(&case, "c", TokenCheck::Orphaned).await, TokenChange::None);
        assert_eq!(ledger.renewable(AT_ONCE, None, 10).await.unwrap().len(), 0);
        assert_eq!(ledger.needing_token(None, 10).await.unwrap(), [case.attempt.id]);
        let until = case.attempt.token_expires_at.unwrap();
        assert_eq!(ledger.replace_token(&case, "v1.k.second", until).await.unwrap(), Replaced::Done);
        assert!(ledger.needing_token(None, 10).await.unwrap().is_empty());
        // This result concerns the former token, so it is ignored.
        assert_eq!(ledger.token_checked(&case, "c", TokenCheck::Orphaned).await.unwrap(), TokenChange::None);
        assert!(ledger.needing_token(None, 10).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_resumes_what_was_parked_for_its_token_and_nothing_else() {
    for OpenLedger { ledger, .. } in &both().await {
        for (record, cause, asked, answered, expected) in [
            ("received", Cause::TokenRefused, false, false, State::Received),
            ("requested", Cause::TokenRefused, true, false, State::Requested),
            ("answered", Cause::RegistrarInactive, true, true, State::Answered),
            ("other", Cause::OtherNumber, true, true, State::Parked),
        ] {
            let case =
                if asked { requested(ledger, record, 0).await } else { receive(ledger, record, 0).await };
            if answered {
                reply(ledger, &case, 1, &issued(ledger, &format!("id of {record}"))).await;
            }
            if expected == State::Answered {
                let (lease, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
                assert!(ledger.intend(lease, TTL).await.unwrap());
            }
            ledger.park(&case, Stage::Confirm, cause).await.unwrap();
            let parked = read(ledger, &case).await;
            ledger
                .replace_token(&parked, "v1.k.second", case.attempt.token_expires_at.unwrap())
                .await
                .unwrap();
            assert_eq!(state(ledger, &case).await, expected, "{record}");
            assert_eq!(read(ledger, &case).await.record.intent, parked.record.intent, "{record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_can_have_a_fresh_token_so_that_an_operator_may_decide_about_it() {
    for OpenLedger { ledger, .. } in &both().await {
        let case = requested(ledger, "r", 0).await;
        reply(ledger, &case, 1, &rejected()).await;
        let (lease, _) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        ledger.finish(lease, Event::Hold, Some(Cause::RejectedByIdSystem)).await.unwrap();
        let until = case.attempt.token_expires_at.unwrap();
        assert_eq!(ledger.replace_token(&case, "v1.k.second", until).await.unwrap(), Replaced::Done);
        let now = read(ledger, &case).await;
        assert_eq!(now.attempt.state, State::Held);
        assert_eq!(now.attempt.sealed_token.as_deref(), Some("v1.k.second"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_expires_unannounced_even_when_there_was_no_time() {
    for open in &both().await {
        let ledger = &open.ledger;
        let case = requested(ledger, "r", 0).await;
        open.execute("UPDATE attempt SET token_expires_at = 1").await.unwrap();
        let ended = ledger.expire(case.attempt.id, Duration::ZERO, false).await.unwrap();
        assert_eq!(ended, Expiry::Ended { orphan: false });
        let alerts = ledger.claim_alerts(10, TTL, TTL).await.unwrap();
        let told: Vec<_> = alerts.iter().map(|alert| (alert.cause, alert.state)).collect();
        assert_eq!(told, [(Cause::TokenRefused, State::Expired)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmer_ends_what_has_outlived_its_token_and_only_that() {
    for open in &both().await {
        let ledger = &open.ledger;
        let case = requested(ledger, "r", 0).await;
        reply(ledger, &case, 1, &issued(ledger, "1234567890")).await;
        let (lease, read_before) = ledger.lease_record(case.attempt.id, TTL).await.unwrap().unwrap();
        assert_eq!(ledger.expire_leased(lease, false).await.unwrap(), Expiry::LeftAlone, "it lives");
        open.execute("UPDATE attempt SET token_expires_at = 1").await.unwrap();
        // An operator replaces the token meanwhile.
        let until = case.attempt.token_expires_at.unwrap();
        assert_eq!(ledger.replace_token(&read_before, "v1.k.second", until).await.unwrap(), Replaced::Done);
        assert_eq!(
            ledger.expire_leased(lease, false).await.unwrap(),
            Expiry::LeftAlone,
            "it has another token"
        );
        open.execute("UPDATE attempt SET token_expires_at = 1").await.unwrap();
        assert_eq!(ledger.expire_leased(lease, false).await.unwrap(), Expiry::Ended { orphan: true });
        let alerts = ledger.claim_alerts(10, TTL, TTL).await.unwrap();
        let mut told: Vec<_> = alerts.iter().map(|alert| alert.cause.as_str()).collect();
        told.sort_unstable();
        assert_eq!(told, ["orphan_id", "token_refused"]);
    }
}
