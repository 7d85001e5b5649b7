//! An attempt that OpenCRVS does not have gives its place back to the attempt that it superseded.

use std::time::Duration;

use nidbridge::domain::{
    AnswerKind, AttemptId, Cause, Event, EventKind, Lane, Mismatch, Registration, RegistrationNumber,
    RequestId, State, TrackingId,
};
use nidbridge::ledger::{About, Case, Ledger, Resumed, Reverted, Stage};

use super::{TTL, issued, numbers, receive, receive_as, rejected, reply, requested, state};
use crate::harness::ledgers::{OpenLedger, both};

const ID: &str = "1234567890";

async fn now(ledger: &Ledger, case: &Case) -> Case {
    ledger.case(case.attempt.id).await.unwrap().unwrap()
}

/// Records an attempt that is dated later, and finds that OpenCRVS does not have it.
async fn invented(ledger: &Ledger, minute: i64) -> (Case, Reverted) {
    let case = receive(ledger, "r", minute).await;
    assert_eq!(case.attempt.state, State::Received);
    let reverted = ledger.park_absent(&case, Stage::Send, Cause::NotInOpencrvs).await.unwrap();
    assert_eq!(state(ledger, &case).await, State::Parked);
    (case, reverted)
}

fn revives(case: &Case) -> Reverted {
    Reverted { revived: Some(case.attempt.id), orphan: false }
}

async fn alerts(ledger: &Ledger) -> Vec<(Cause, AttemptId)> {
    let claimed = ledger.claim_alerts(10, TTL, TTL).await.unwrap();
    let of = |about| match about {
        About::Record { attempt, .. } => attempt.unwrap(),
        other @ (About::Parking { .. } | About::Many { .. } | About::Client { .. }) => panic!("{other:?}"),
    };
    claimed.into_iter().map(|alert| (alert.cause, of(alert.about))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alert_names_what_opencrvs_does_not_have() {
    for OpenLedger { ledger, .. } in &both().await {
        invented(ledger, 0).await;
        let other_name = receive(ledger, "s", 0).await;
        ledger.park_mismatch(&other_name, Stage::Send, Mismatch::Name).await.unwrap();
        assert_eq!(state(ledger, &other_name).await, State::Parked);
        let claimed = ledger.claim_alerts(10, TTL, TTL).await.unwrap();
        let mut said: Vec<_> = claimed.into_iter().map(|alert| (alert.cause, alert.detail)).collect();
        said.sort();
        let named = ["name", "submission"].map(|detail| (Cause::NotInOpencrvs, Some(detail.to_owned())));
        assert_eq!(said, named);
    }
}

async fn lane(ledger: &Ledger, lane: Lane) -> Vec<AttemptId> {
    ledger.overdue(lane, Duration::ZERO, Duration::from_secs(u32::MAX.into()), 10).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_open_goes_on_where_it_was_and_only_the_invented_one_alerts() {
    for before in [State::Received, State::Requested, State::Answered] {
        for OpenLedger { ledger, .. } in &both().await {
            let genuine = receive(ledger, "r", 0).await;
            if before != State::Received {
                ledger.requested(&genuine, None, true).await.unwrap();
                ledger.sent(genuine.attempt.id).await.unwrap();
            }
            if before == State::Answered {
                reply(ledger, &genuine, 1, &issued(ledger, ID)).await;
            }
            let (other, reverted) = invented(ledger, 1).await;
            assert_eq!(reverted, revives(&genuine), "{before:?}");
            let revived = now(ledger, &genuine).await;
            assert_eq!((revived.attempt.state, revived.attempt.submission), (before, 1));
            assert!(revived.is_newest());
            assert_eq!(alerts(ledger).await, [(Cause::NotInOpencrvs, other.attempt.id)]);
            // If the process ends before it publishes, the sweeper does.
            let due = if before == State::Answered { Lane::Outcome } else { Lane::Request };
            assert_eq!(lane(ledger, due).await, [genuine.attempt.id], "{before:?}");
            let history = ledger.history(&genuine.record.id).await.unwrap();
            let told = history.iter().find(|entry| entry.what == "revived").unwrap();
            assert!(told.why.as_ref().unwrap().contains(&other.attempt.id.to_string()));
            assert_eq!(told.attempt, Some(genuine.attempt.id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rested_rests_again_with_its_cause_and_without_another_alert() {
    for before in [State::Parked, State::Held] {
        for OpenLedger { ledger, .. } in &both().await {
            let genuine = requested(ledger, "r", 0).await;
            let cause = if before == State::Parked {
                ledger.park(&genuine, Stage::Send, Cause::Unfit).await.unwrap();
                Cause::Unfit
            } else {
                reply(ledger, &genuine, 1, &rejected()).await;
                let (lease, _) = ledger.lease_record(genuine.attempt.id, TTL).await.unwrap().unwrap();
                ledger.finish(lease, Event::Hold, Some(Cause::RejectedByIdSystem)).await.unwrap();
                Cause::RejectedByIdSystem
            };
            alerts(ledger).await;
            let (other, reverted) = invented(ledger, 1).await;
            assert_eq!(reverted, Reverted::default());
            let rests = now(ledger, &genuine).await;
            assert!(rests.is_newest());
            assert_eq!((rests.attempt.state, rests.attempt.cause), (before, Some(cause.into())));
            assert_eq!(alerts(ledger).await, [(Cause::NotInOpencrvs, other.attempt.id)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_came_meanwhile_is_the_answer() {
    for OpenLedger { ledger, .. } in &both().await {
        let genuine = requested(ledger, "r", 0).await;
        let other = receive(ledger, "r", 1).await;
        reply(ledger, &genuine, 1, &rejected()).await;
        assert_eq!(
            ledger.park_absent(&other, Stage::Send, Cause::NotInOpencrvs).await.unwrap(),
            revives(&genuine)
        );
        let revived = now(ledger, &genuine).await.attempt;
        assert_eq!((revived.state, revived.answer), (State::Answered, Some(AnswerKind::Rejected)));
    }
    for OpenLedger { ledger, .. } in &both().await {
        let genuine = requested(ledger, "r", 0).await;
        let other = receive(ledger, "r", 1).await;
        reply(ledger, &genuine, 1, &issued(ledger, ID)).await;
        assert_eq!(state(ledger, &other).await, State::Received, "it is not in OpenCRVS");
        assert_eq!(
            ledger.park_absent(&other, Stage::Send, Cause::NotInOpencrvs).await.unwrap(),
            revives(&genuine)
        );
        let revived = now(ledger, &genuine).await.attempt;
        assert_eq!((revived.state, revived.answer), (State::Answered, Some(AnswerKind::Issued)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_ended_stays_ended_and_an_id_that_nobody_takes_alerts() {
    for OpenLedger { ledger, .. } in &both().await {
        let genuine = requested(ledger, "r", 0).await;
        reply(ledger, &genuine, 1, &issued(ledger, ID)).await;
        let (lease, _) = ledger.lease_record(genuine.attempt.id, TTL).await.unwrap().unwrap();
        ledger.finish(lease, Event::Confirm, None).await.unwrap();
        let (_, reverted) = invented(ledger, 1).await;
        assert_eq!(reverted, Reverted::default());
        let confirmed = now(ledger, &genuine).await;
        assert!(confirmed.is_newest() && confirmed.attempt.state == State::Confirmed);
    }
    for OpenLedger { ledger, .. } in &both().await {
        let genuine = requested(ledger, "r", 0).await;
        ledger.withdraw(&genuine, Stage::Send).await.unwrap();
        let other = receive(ledger, "r", 1).await;
        reply(ledger, &genuine, 1, &issued(ledger, ID)).await;
        let reverted = ledger.park_absent(&other, Stage::Send, Cause::NotInOpencrvs).await.unwrap();
        assert_eq!(reverted, Reverted { revived: None, orphan: true });
        let withdrawn = now(ledger, &genuine).await;
        assert!(withdrawn.is_newest() && withdrawn.attempt.state == State::Withdrawn);
        assert!(alerts(ledger).await.contains(&(Cause::OrphanId, genuine.attempt.id)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_genuine_attempt_that_comes_after_the_invented_one_goes_on_as_well() {
    for OpenLedger { ledger, .. } in &both().await {
        // It arrives superseded, before OpenCRVS is read.
        let other = receive(ledger, "r", 2).await;
        let genuine = receive(ledger, "r", 1).await;
        assert_eq!(genuine.attempt.state, State::Superseded);
        assert_eq!(
            ledger.park_absent(&other, Stage::Send, Cause::NotInOpencrvs).await.unwrap(),
            revives(&genuine)
        );
        let revived = now(ledger, &genuine).await;
        assert_eq!((revived.attempt.state, revived.attempt.submission), (State::Received, 2));
        // The next genuine one has an earlier time than the invented one as well.
        let corrected = receive(ledger, "r", 1).await;
        assert_eq!(corrected, revived, "a repeat");
        ledger.requested(&revived, None, true).await.unwrap();
        let (_, reverted) = invented(ledger, 3).await;
        assert_eq!(reverted, revives(&genuine));
    }
    for OpenLedger { ledger, .. } in &both().await {
        invented(ledger, 5).await;
        let genuine = receive(ledger, "r", 1).await;
        assert!(genuine.is_newest() && genuine.attempt.state == State::Received);
        let corrected = receive(ledger, "r", 2).await;
        assert!(corrected.is_newest());
        assert_eq!(state(ledger, &genuine).await, State::Superseded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_invented_attempts_none_is_revived_twice() {
    for OpenLedger { ledger, .. } in &both().await {
        let genuine = requested(ledger, "r", 0).await;
        let first = receive(ledger, "r", 1).await;
        let (_, reverted) = invented(ledger, 2).await;
        assert_eq!(reverted, revives(&first), "OpenCRVS was not read for that one yet");
        let first = now(ledger, &first).await;
        assert_eq!(
            ledger.park_absent(&first, Stage::Send, Cause::NotInOpencrvs).await.unwrap(),
            revives(&genuine)
        );
        let (_, reverted) = invented(ledger, 3).await;
        assert_eq!(reverted, revives(&genuine));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_resumes_it_puts_it_first_again_until_opencrvs_is_read() {
    for OpenLedger { ledger, .. } in &both().await {
        let genuine = requested(ledger, "r", 0).await;
        let (other, _) = invented(ledger, 1).await;
        let resumed = ledger.resume(other.attempt.id, &numbers(), false, "it is there").await.unwrap();
        let Resumed::Open(resumed) = resumed else { panic!("{resumed:?}") };
        assert!(resumed.is_newest() && resumed.attempt.state == State::Received);
        assert_eq!(state(ledger, &genuine).await, State::Superseded);
        assert_eq!(
            ledger.park_absent(&resumed, Stage::Send, Cause::NotInOpencrvs).await.unwrap(),
            revives(&genuine)
        );
        assert_eq!(state(ledger, &genuine).await, State::Requested);
    }
    // The older one of two that OpenCRVS did not show for a while does not supersede the newer one.
    for OpenLedger { ledger, .. } in &both().await {
        let older = receive(ledger, "r", 0).await;
        let (newer, _) = invented(ledger, 1).await;
        let older = now(ledger, &older).await;
        ledger.park_absent(&older, Stage::Confirm, Cause::RecordRefused).await.unwrap();
        for case in [&older, &newer] {
            let resumed = ledger.resume(case.attempt.id, &numbers(), false, "it is there").await.unwrap();
            assert!(matches!(&resumed, Resumed::Open(case) if case.is_newest()), "{resumed:?}");
        }
        assert_eq!(state(ledger, &older).await, State::Superseded);
        assert_eq!(state(ledger, &newer).await, State::Received);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_a_record_that_opencrvs_does_not_have_goes_to_the_one_that_claims_it() {
    for OpenLedger { ledger, .. } in &both().await {
        let thief = receive_as(ledger, "thief", 0, EventKind::Birth, "N1").await;
        let victim = receive_as(ledger, "victim", 0, EventKind::Birth, "N1").await;
        assert_eq!(state(ledger, &victim).await, State::Parked);
        ledger.park_absent(&thief, Stage::Send, Cause::NotInOpencrvs).await.unwrap();
        assert_eq!(now(ledger, &thief).await.record.number, None);
        let history = ledger.history(&thief.record.id).await.unwrap();
        let told = history.iter().find(|entry| entry.what == "number_released").unwrap();
        assert_eq!(told.why.as_deref(), Some("N1"));
        let resumed = ledger.resume(victim.attempt.id, &numbers(), false, "why").await.unwrap();
        assert!(matches!(resumed, Resumed::Open(_)), "{resumed:?}");
        let number = now(ledger, &victim).await.record.number.unwrap();
        assert_eq!(number.as_str(), "N1");
    }
}

/// What an attempt of record `r` says of it.
#[derive(Clone, Copy)]
struct Says {
    minute: i64,
    kind: &'static str,
    tracking_id: &'static str,
    office: Option<&'static str>,
    number: Option<&'static str>,
}

const GENUINE: Says =
    Says { minute: 1, kind: "birth", tracking_id: "BGENUINE", office: Some("GENUINE"), number: None };
const INVENTED: Says =
    Says { minute: 2, kind: "death", tracking_id: "BINVENTED", office: Some("INVENTED"), number: None };

async fn receive_saying(ledger: &Ledger, says: Says) -> Case {
    let kind = EventKind::from_name(says.kind);
    let registration = Registration {
        tracking_id: TrackingId::parse(says.tracking_id).unwrap(),
        office: says.office.map(str::to_owned),
        number: says.number.map(|number| RegistrationNumber::parse(number).unwrap()),
        ..super::registration("r", says.minute, kind)
    };
    let receipt = ledger.receive(&registration, &numbers(), "v1.k.view", Some("v1.k.token")).await;
    receipt.unwrap().case
}

/// The case says of its record what the genuine attempt says, and the number is made from that.
fn assert_genuine(case: &Case) {
    let record = &case.record;
    assert_eq!(record.kind, EventKind::Birth);
    assert_eq!(record.tracking_id.as_str(), "BGENUINE");
    assert_eq!(record.office.as_deref(), Some("GENUINE"));
    assert_eq!(record.request, RequestId::of(&record.id, &EventKind::Birth));
    assert_eq!(record.number.as_ref().map(RegistrationNumber::as_str), Some("BGENUINEGENUINE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_attempt_leaves_nothing_of_what_it_said_to_the_genuine_one() {
    for invented_first in [true, false] {
        for OpenLedger { ledger, .. } in &both().await {
            let (invented, genuine) = if invented_first {
                let invented = receive_saying(ledger, INVENTED).await;
                (invented, receive_saying(ledger, GENUINE).await)
            } else {
                let genuine = receive_saying(ledger, GENUINE).await;
                assert_genuine(&genuine);
                (receive_saying(ledger, INVENTED).await, genuine)
            };
            assert_eq!(invented.record.office.as_deref(), Some("INVENTED"));
            assert_eq!(
                ledger.park_absent(&invented, Stage::Send, Cause::NotInOpencrvs).await.unwrap(),
                revives(&genuine)
            );
            let revived = now(ledger, &genuine).await;
            assert_eq!(revived.record.number, None, "it was made from what is invented");
            assert_genuine(&ledger.give_number(&revived, &numbers()).await.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_attempts_that_arrive_at_once_the_newer_one_decides() {
    for OpenLedger { ledger, .. } in &both().await {
        for round in 0..20 {
            let record = format!("r{round}");
            let of = |minute, office: &str| Registration {
                office: Some(office.to_owned()),
                number: None,
                ..super::registration(&record, minute, EventKind::Birth)
            };
            let (newer, older, rules) = (of(2, "NEWER"), of(1, "OLDER"), numbers());
            let (newer, older) = tokio::join!(
                ledger.receive(&newer, &rules, "v1.k.view", None),
                ledger.receive(&older, &rules, "v1.k.view", None)
            );
            older.unwrap();
            let record = now(ledger, &newer.unwrap().case).await.record;
            assert_eq!(record.office.as_deref(), Some("NEWER"));
            assert!(record.number.unwrap().as_str().ends_with("NEWER"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_resumes_an_absent_attempt_makes_it_decide_again() {
    for OpenLedger { ledger, .. } in &both().await {
        let absent = receive_saying(ledger, Says { minute: 3, ..GENUINE }).await;
        receive_saying(ledger, INVENTED).await;
        ledger.park_absent(&absent, Stage::Send, Cause::NotInOpencrvs).await.unwrap();
        assert_eq!(now(ledger, &absent).await.record.office.as_deref(), Some("INVENTED"));
        let resumed = ledger.resume(absent.attempt.id, &numbers(), false, "it is there").await.unwrap();
        let Resumed::Open(resumed) = resumed else { panic!("{resumed:?}") };
        assert_genuine(&resumed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revived_attempt_whose_number_another_record_has_is_parked_and_both_are_named() {
    for OpenLedger { ledger, .. } in &both().await {
        let owner = receive_as(ledger, "owner", 0, EventKind::Birth, "BGENUINEGENUINE").await;
        let invented = receive_saying(ledger, INVENTED).await;
        let genuine = receive_saying(ledger, GENUINE).await;
        ledger.park_absent(&invented, Stage::Send, Cause::NotInOpencrvs).await.unwrap();
        let clash = ledger.give_number(&now(ledger, &genuine).await, &numbers()).await.unwrap();
        assert_eq!(
            (clash.attempt.state, clash.attempt.cause),
            (State::Parked, Some(Cause::NumberTaken.into()))
        );
        let history = ledger.history(&owner.record.id).await.unwrap();
        assert!(history.iter().any(|entry| entry.what == "number_wanted_by"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_attempt_decides_and_kind_and_number_stay_once_the_id_system_is_asked() {
    let says = |minute, tracking_id| Says { minute, tracking_id, office: None, ..GENUINE };
    let said = |case: &Case| {
        let record = &case.record;
        (record.tracking_id.to_string(), record.number.as_ref().unwrap().as_str().to_owned())
    };
    let both_are = |text: &str| (text.to_owned(), text.to_owned());
    for OpenLedger { ledger, .. } in &both().await {
        let first = receive_saying(ledger, says(5, "BSTOLEN")).await;
        assert_eq!(said(&first), both_are("BSTOLEN"));
        let older = receive_saying(ledger, says(4, "BOLDER")).await;
        assert_eq!(said(&older), both_are("BSTOLEN"), "an older one decides nothing");
        let genuine = receive_saying(ledger, says(6, "BGENUINE")).await;
        assert_eq!(said(&genuine), both_are("BGENUINE"));
        ledger.requested(&genuine, None, true).await.unwrap();
        ledger.sent(genuine.attempt.id).await.unwrap();
        let later = receive_saying(ledger, Says { kind: "death", ..says(7, "BLATER") }).await;
        assert_eq!(said(&later), ("BLATER".to_owned(), "BGENUINE".to_owned()), "the ID system knows it");
        assert_eq!(later.record.kind, EventKind::Birth, "the ID system knows it as a birth");
        assert_eq!(later.attempt.kind, EventKind::Death);
        assert_eq!(later.record.request, RequestId::of(&later.record.id, &EventKind::Birth));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_the_country_gave_stays_when_the_office_changes() {
    for OpenLedger { ledger, .. } in &both().await {
        receive_saying(ledger, Says { number: Some("N1"), ..GENUINE }).await;
        let moved = Says { minute: 2, office: Some("OTHER"), number: Some("N2"), ..GENUINE };
        let moved = receive_saying(ledger, moved).await;
        assert_eq!(moved.record.office.as_deref(), Some("OTHER"));
        assert_eq!(moved.record.number.as_ref().map(RegistrationNumber::as_str), Some("N1"));
    }
}
