use super::*;
use crate::sandbox::opencrvs::ActionState;

const ACCEPT: &str = "type=record.action.accept&event=birth";

#[tokio::test]
async fn what_is_in_flight_waits_for_a_client_and_for_its_registrar() {
    let fixture = Fixture::on(Release::V2_0, LATER).await;
    fixture.sim.upgrade(Release::V2_1);
    assert_eq!(fixture.sim.actions()[0].state, ActionState::Pending);
    assert_eq!(fixture.accept(NUMBER, json!({})).await, 401);
    let bridge = fixture.client(&[ACCEPT]).await;
    assert_eq!(bridge.accept(NUMBER, json!({})).await, 409);
    assert!(fixture.sim.unassign(&fixture.family.record));
    assert_eq!(bridge.accept(NUMBER, json!({})).await, 200);
    let action = &fixture.sim.actions()[0];
    assert_eq!((action.state, action.assigned_to.as_deref()), (ActionState::Accepted, None));
}

#[tokio::test]
async fn a_registrar_leaves_after_the_configured_time() {
    let fixture = Fixture::on(Release::V2_0, LATER).await;
    fixture.sim.behave(|behaviour| behaviour.registrar_leaves_after = Some(Duration::from_secs(3)));
    let bridge = fixture.client(&[ACCEPT]).await;
    fixture.sim.upgrade(Release::V2_1);
    assert_eq!(bridge.accept(NUMBER, json!({})).await, 409);
    bridge.accepted_at_last().await;
}

#[tokio::test]
async fn a_client_confirms_on_2_0_only_where_that_is_allowed() {
    let fixture = Fixture::on(Release::V2_0, LATER).await;
    let bridge = fixture.client(&[ACCEPT]).await;
    let missing = "Missing required scopes/claims for action confirmation";
    let refused = bridge.call("accept", json!({ "registrationNumber": NUMBER })).await;
    assert_eq!(message(&refused), (403, missing));
    fixture.sim.behave(|behaviour| behaviour.client_confirms_on_2_0 = true);
    assert_eq!(bridge.accept(NUMBER, json!({})).await, 200, "a registrar who is assigned is no conflict");
}

#[tokio::test]
async fn a_record_of_an_older_release_keeps_to_it_until_the_upgrade() {
    for release in [Release::V1_9, Release::V2_0] {
        let old = Fixture::of_release(sim(Release::V2_1).await, Some(release), LATER).await;
        let bridge = old.client(&[ACCEPT]).await;
        assert_eq!(bridge.accept(NUMBER, json!({})).await, 403, "{release:?}");
        let event = &old.family.record;
        let (bare, object) = (json!(event), json!({ "eventId": event }));
        let (taken, refused) = if release == Release::V1_9 { (bare, object) } else { (object, bare) };
        assert_eq!(old.query("event.get", taken).await.0, 200, "{release:?}");
        assert_eq!(old.query("event.get", refused).await.0, 400, "{release:?}");
        assert_eq!(old.sim.core.exchange_gone(event), None, "{release:?}");
        assert!(old.sim.core.exchange_gone("another").is_some());
        assert_eq!(old.accept(NUMBER, json!({})).await, 200, "{release:?}");
        old.sim.upgrade(Release::V2_1);
        assert_eq!(old.accept(NUMBER, json!({})).await, 401, "{release:?}");
        assert!(old.sim.core.exchange_gone(event).is_some());
        assert_eq!(old.sim.actions()[0].release, release);
    }
}

#[tokio::test]
async fn the_tokens_of_1_9_have_plain_scopes() {
    let fixture = Fixture::on(Release::V1_9, LATER).await;
    let claims = fixture.sim.core.with_key(|key| key.verify(&fixture.token, "gateway-user")).unwrap();
    assert!(claims.scope.contains(&"record.confirm-registration".to_owned()), "{claims:?}");
    let object = json!({ "eventId": fixture.family.record });
    assert_eq!(fixture.query("event.get", object.clone()).await.0, 400);
    assert_eq!(fixture.query("event.get", json!(fixture.family.record)).await.0, 200);
    assert_eq!(fixture.accept(NUMBER, json!({})).await, 200);
    let newer = Fixture::on(Release::V2_0, LATER).await;
    assert_eq!(newer.query("event.get", json!(newer.family.record)).await.0, 400);
    assert_eq!(newer.query("event.get", json!({ "eventId": newer.family.record })).await.0, 200);
}
