//! Actions that have an answer in OpenCRVS already: somebody else's, or the bridge's own with a
//! lost response.

use jiff::Timestamp;
use nidbridge::sandbox::opencrvs::Claims;
use serde_json::json;

use super::*;
use crate::gateway::standing;

/// Waits until the client was probed, so that the next call of the client is an answer.
async fn probed(fixture: &Fixture) {
    let probed = async || (fixture.calls(ACCEPT, Credential::Client) > 0).then_some(());
    eventually(SOON, "the probe", probed).await;
}

/// How often an answered action of the record was answered again.
fn repeats(fixture: &Fixture, record: &str) -> u32 {
    fixture.world.opencrvs.record(record).unwrap().event.unwrap().repeats
}

/// Accepts without the bridge, as another program of the country with a client would.
async fn accept_by_hand(fixture: &Fixture, record: &str, number: &str) {
    let opencrvs = &fixture.world.opencrvs;
    let claims = Claims::client(&fixture.client, scopes("birth").into(), Timestamp::now(), 600);
    let pending = opencrvs.pending_actions().into_iter().find(|one| one.event == record).unwrap();
    let input = json!({
        "transactionId": format!("by-hand-{record}"), "eventId": record,
        "actionId": pending.action, "registrationNumber": number,
    });
    let url = format!("{}/events/{ACCEPT}", opencrvs.gateway_url());
    let call = reqwest::Client::new().post(url).bearer_auth(opencrvs.mint(&claims).unwrap());
    let answer = call.json(&json!({ "json": input })).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_somebody_else_accepted_is_only_read_and_another_number_is_left_to_an_operator() {
    let fixture = Fixture::new(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    probed(&fixture).await;
    let families = people(Kind::Birth, 2, 440);
    fixture.world.nid.pause_replies();
    for family in &families {
        fixture.submit(family).await;
        stands_as(&fixture.world, &family.record, "requested").await;
    }
    let ours = fixture.world.number_of(&families[1]).await;
    for (family, number) in families.iter().zip(["2020OTHER", &ours]) {
        accept_by_hand(&fixture, &family.record, number).await;
    }
    fixture.world.nid.resume_replies();
    let other = standing(&fixture.world, &families[0].record, "parked", "another number").await;
    assert_eq!(other.cause, Some(Cause::OtherNumber.into()));
    fixture.is_confirmed(&families[1]).await;
    for family in &families {
        assert_eq!(repeats(&fixture, &family.record), 0, "read, not written");
    }
    fixture.is_undamaged();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_response_the_event_is_read_at_once_and_not_answered_again() {
    let fixture = Fixture::new(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    probed(&fixture).await;
    let family = people(Kind::Birth, 1, 442).remove(0);
    fixture.world.opencrvs.faults().next(Calls::Action, 1, Fault::CUT_AFTER);
    fixture.submit(&family).await;
    fixture.is_confirmed(&family).await;
    assert_eq!(fixture.world.opencrvs.faults().times_met(Calls::Action, Fault::CUT_AFTER), 1);
    let cause = format!("\"{}\"", Cause::GatewayUnavailable.as_str());
    assert_eq!(fixture.world.metric("confirmer", "nidbridge_retries_total", &cause), 0.0);
    assert_eq!(repeats(&fixture, &family.record), 0);
    fixture.is_undamaged();
}
