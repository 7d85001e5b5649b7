//! How 2.1 lets a system client answer an action.

use super::*;
use crate::sandbox::opencrvs::UserType;

const ACCEPT: &str = "type=record.action.accept&event=birth,death";
const REJECT: &str = "type=record.action.reject&event=birth,death";

fn acceptance() -> Value {
    json!({ "registrationNumber": NUMBER })
}

#[tokio::test]
async fn the_trigger_carries_a_service_token_that_opens_nothing() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let claims = fixture.sim.core.with_key(|key| key.verify(&fixture.token, "countryconfig-user")).unwrap();
    assert_eq!((claims.sub, claims.scope), (fixture.sim.service_subject(), Vec::new()));
    assert_eq!(claims.aud, ["opencrvs:countryconfig-user"]);
    assert_eq!(claims.user_type, Some(UserType::System));
    assert_eq!((claims.event_id, claims.action_id), (None, None));
    assert_eq!(fixture.call("accept", acceptance()).await.0, 401);
    fixture.sim.behave(|behaviour| behaviour.service_token_for_gateway = true);
    let for_gateway = fixture.sim.mint(&fixture.sim.service_claims()).unwrap();
    assert_eq!(fixture.with(for_gateway).call("accept", acceptance()).await.0, 403);
}

#[tokio::test]
async fn only_a_client_with_the_scope_answers_an_action() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let user = fixture.sim.user_token("5f0000000000000000000001", &[ACCEPT, REJECT]).unwrap();
    let stale = fixture.sim.action_claims(&fixture.family.record, &fixture.action);
    let stale = fixture.with(fixture.sim.mint(&stale).unwrap());
    assert_eq!(fixture.with(user.clone()).call("accept", acceptance()).await.0, 403);
    assert_eq!(fixture.with(user).call("accept", json!({})).await.0, 403, "before the input is parsed");
    assert_eq!(stale.call("accept", acceptance()).await.0, 401);
    fixture.sim.behave(|behaviour| behaviour.stale_token_status = 403);
    assert_eq!(stale.call("accept", acceptance()).await.0, 403);
    for scopes in [["type=record.register"].as_slice(), &[REJECT], &["type=record.read"]] {
        assert_eq!(fixture.client(scopes).await.call("accept", acceptance()).await.0, 403, "{scopes:?}");
    }
    assert_eq!(fixture.client(&[ACCEPT]).await.call("reject", json!({})).await.0, 403);
    let not_found = format!("Event not found with ID: {}", fixture.family.record);
    let deaths = fixture.client(&["type=record.action.accept&event=death"]).await;
    assert_eq!(message(&deaths.call("accept", acceptance()).await), (404, not_found.as_str()));
    assert_eq!(fixture.sim.pending_actions().len(), 1);
    let bridge = fixture.client(&[ACCEPT]).await;
    let accepted = bridge.call("accept", acceptance()).await;
    assert_eq!((accepted.0, fixture.status()), (200, Status::Registered));
    let document = fixture.sim.event_document(&fixture.family.record).unwrap();
    let last = document["actions"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["createdByUserType"], &last["originalActionId"]),
        (&json!("system"), &json!(fixture.action))
    );
    assert_eq!(fixture.sim.calls_of("event.actions.register.accept", Credential::User), 2);
    assert!(fixture.sim.pending_actions().is_empty());
}

#[tokio::test]
async fn an_assigned_user_is_a_conflict_until_the_user_leaves() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let bridge = fixture.client(&[ACCEPT, REJECT]).await;
    assert!(!fixture.sim.unassign(&fixture.family.record), "the requester is unassigned with our 202");
    assert!(fixture.sim.assign(&fixture.family.record, "5fabc"));
    assert_eq!(fixture.sim.pending_actions()[0].assigned_to.as_deref(), Some("5fabc"));
    for (procedure, more) in [("accept", acceptance()), ("reject", json!({}))] {
        let answer = bridge.call(procedure, more).await;
        assert_eq!(message(&answer), (409, "User is assigned to this event"));
        assert_eq!(answer.1["error"]["json"]["data"]["code"], "CONFLICT");
    }
    let unknown = json!({ "actionId": "other", "registrationNumber": NUMBER });
    assert_eq!(bridge.call("accept", unknown.clone()).await.0, 409);
    fixture.sim.behave(|behaviour| behaviour.assignment_before_action = false);
    assert_eq!(message(&bridge.call("accept", unknown).await), (404, "Action not found."));
    assert_eq!(bridge.call("accept", acceptance()).await.0, 409);
    assert_eq!(fixture.sim.unassign_all(), 1);
    assert_eq!(bridge.call("accept", acceptance()).await.0, 200);
    let file = fixture.sim.record(&fixture.family.record).unwrap().event.unwrap();
    assert_eq!(file.conflicts, 4);
}

#[tokio::test]
async fn a_share_of_users_is_assigned_for_a_while() {
    let first = Fixture::on(Release::V2_1, LATER).await;
    let bridge = first.client(&[ACCEPT]).await;
    first.sim.behave(|behaviour| {
        behaviour.assigned_share = 1.0;
        behaviour.assigned_for = Duration::from_secs(3);
    });
    let (url, _got) = front(LATER).await;
    let family = Population::new(4, Mix { deaths: 0.0, marriages: 0.0, ..Mix::default() }).declaration(0);
    first.sim.submit_event(&family, &url, SubmitOptions::default()).await.unwrap();
    let pending = first.sim.pending_actions();
    let action = pending.iter().find(|one| one.event == family.record).unwrap().action.clone();
    let taken = Fixture { family, action, ..bridge };
    assert_eq!(taken.call("accept", acceptance()).await.0, 409);
    taken.accepted_at_last().await;
}

#[tokio::test]
async fn only_a_pending_registration_can_be_answered() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let bridge = fixture.client(&[ACCEPT, REJECT]).await;
    let document = fixture.sim.event_document(&fixture.family.record).unwrap();
    let of = |kind: &str, status: &str| {
        let actions = document["actions"].as_array().unwrap();
        let found = actions.iter().find(|row| row["type"] == kind && row["status"] == status).unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    let (create, declare) = (of("CREATE", "Accepted"), of("DECLARE", "Requested"));
    for procedure in ["accept", "reject"] {
        let call = async |action: &str| {
            bridge.call(procedure, json!({ "actionId": action, "registrationNumber": NUMBER })).await
        };
        assert_eq!(message(&call("other").await), (404, "Action not found."));
        let awaiting = format!("Action {create} is not awaiting confirmation.");
        assert_eq!(message(&call(&create).await), (400, awaiting.as_str()));
        let kind = format!("Action {declare} is of type DECLARE, cannot be confirmed as REGISTER.");
        assert_eq!(message(&call(&declare).await), (400, kind.as_str()));
    }
    assert_eq!(bridge.call("accept", json!({})).await.0, 400);
    assert_eq!(bridge.accept(NUMBER, json!({})).await, 200);
    assert_eq!(bridge.accept("N2", json!({})).await, 200);
    assert_eq!(bridge.call("reject", json!({})).await.0, 500);
    assert_eq!(fixture.sim.record(&fixture.family.record).unwrap().numbers, [NUMBER]);
    let rejected = Fixture::on(Release::V2_1, LATER).await;
    let bridge = rejected.client(&[ACCEPT, REJECT]).await;
    assert_eq!(bridge.call("reject", json!({})).await.0, 200);
    assert_eq!(bridge.call("reject", json!({})).await.0, 200);
    let again = bridge.call("accept", acceptance()).await;
    assert_eq!(message(&again), (400, "Action has already been rejected."));
}

#[tokio::test]
async fn a_field_that_no_form_defines_is_refused_or_breaks_the_record() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let bridge = fixture.client(&[ACCEPT]).await;
    let more = json!({ "registrationNumber": NUMBER, "declaration": { "child.other": "1" } });
    assert_eq!(message(&bridge.call("accept", more.clone()).await), (400, "Unexpected field"));
    assert_eq!((fixture.status(), fixture.sim.events_tally().poisoned), (Status::WaitingValidation, 0));
    fixture.sim.behave(|behaviour| behaviour.refuses_undefined_fields = Some(false));
    assert_eq!(bridge.call("accept", more).await.0, 500);
    assert_eq!((fixture.status(), fixture.sim.events_tally().poisoned), (Status::Registered, 1));
}

#[tokio::test]
async fn a_null_erases_its_field() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let bridge = fixture.client(&[ACCEPT]).await;
    assert_eq!(bridge.accept(NUMBER, json!({ "child.nid": null })).await, 200);
    let record = fixture.sim.record(&fixture.family.record).unwrap();
    assert_eq!(record.event.unwrap().written()["child.nid"], Value::Null);
    assert!(!record.identifiers.contains_key("NATIONAL_ID"));
}

#[tokio::test]
async fn a_client_gives_a_reason_only_where_that_is_allowed() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let bridge = fixture.client(&["type=record.reject&event=birth"]).await;
    let reject = async || {
        let input = json!({ "eventId": fixture.family.record, "content": { "reason": "no birth" } });
        let url = format!("{}/events/event.actions.reject.request", fixture.sim.gateway_url());
        let request = fixture.http.post(url).bearer_auth(&bridge.token).json(&json!({ "json": input }));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(reject().await, 403);
    fixture.sim.behave(|behaviour| behaviour.client_rejects_with_reason = true);
    assert_eq!(reject().await, 200);
    let file = fixture.sim.record(&fixture.family.record).unwrap().event.unwrap();
    assert_eq!(file.reason.as_deref(), Some("no birth"));
}

#[tokio::test]
async fn the_gateway_may_answer_with_its_login_page() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    fixture.sim.behave(|behaviour| behaviour.login_page = true);
    let url = format!("{}/events/event.get", fixture.sim.gateway_url());
    let answer = fixture.http.get(url).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    let client = fixture.sim.add_client("bridge", &[]);
    let form = [("client_id", client.client_id.as_str()), ("client_secret", &client.client_secret)];
    assert_eq!(token(&fixture.sim, &form, &[]).await.0, 200, "auth is not behind the login page");
}
