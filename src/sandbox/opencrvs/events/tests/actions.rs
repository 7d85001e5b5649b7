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
    let ground = Ground::on(Release::V2_1, LATER).await;
    let claims = ground.sim.core.with_key(|key| key.verify(&ground.token, "countryconfig-user")).unwrap();
    assert_eq!((claims.sub, claims.scope), (ground.sim.service_subject(), Vec::new()));
    assert_eq!(claims.aud, ["opencrvs:countryconfig-user"]);
    assert_eq!(claims.user_type, Some(UserType::System));
    assert_eq!((claims.event_id, claims.action_id), (None, None));
    assert_eq!(ground.call("accept", acceptance()).await.0, 401);
    ground.sim.behave(|behaviour| behaviour.service_token_for_gateway = true);
    let for_gateway = ground.sim.mint(&ground.sim.service_claims()).unwrap();
    assert_eq!(ground.with(for_gateway).call("accept", acceptance()).await.0, 403);
}

#[tokio::test]
async fn only_a_client_with_the_scope_answers_an_action() {
    let ground = Ground::on(Release::V2_1, LATER).await;
    let user = ground.sim.user_token("5f0000000000000000000001", &[ACCEPT, REJECT]).unwrap();
    let stale = ground.sim.action_claims(&ground.family.record, &ground.action);
    let stale = ground.with(ground.sim.mint(&stale).unwrap());
    assert_eq!(ground.with(user.clone()).call("accept", acceptance()).await.0, 403);
    assert_eq!(ground.with(user).call("accept", json!({})).await.0, 403, "before the input is parsed");
    assert_eq!(stale.call("accept", acceptance()).await.0, 401);
    ground.sim.behave(|behaviour| behaviour.stale_token_status = 403);
    assert_eq!(stale.call("accept", acceptance()).await.0, 403);
    for scopes in [["type=record.register"].as_slice(), &[REJECT], &["type=record.read"]] {
        assert_eq!(ground.client(scopes).await.call("accept", acceptance()).await.0, 403, "{scopes:?}");
    }
    assert_eq!(ground.client(&[ACCEPT]).await.call("reject", json!({})).await.0, 403);
    let not_found = format!("Event not found with ID: {}", ground.family.record);
    let deaths = ground.client(&["type=record.action.accept&event=death"]).await;
    assert_eq!(message(&deaths.call("accept", acceptance()).await), (404, not_found.as_str()));
    assert_eq!(ground.sim.pending_actions().len(), 1);
    let bridge = ground.client(&[ACCEPT]).await;
    let accepted = bridge.call("accept", acceptance()).await;
    assert_eq!((accepted.0, ground.status()), (200, Status::Registered));
    let document = ground.sim.event_document(&ground.family.record).unwrap();
    let last = document["actions"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["createdByUserType"], &last["originalActionId"]),
        (&json!("system"), &json!(ground.action))
    );
    assert_eq!(ground.sim.calls_of("event.actions.register.accept", Credential::User), 2);
    assert!(ground.sim.pending_actions().is_empty());
}

#[tokio::test]
async fn an_assigned_user_is_a_conflict_until_the_user_leaves() {
    let ground = Ground::on(Release::V2_1, LATER).await;
    let bridge = ground.client(&[ACCEPT, REJECT]).await;
    assert!(!ground.sim.unassign(&ground.family.record), "the requester is unassigned with our 202");
    assert!(ground.sim.assign(&ground.family.record, "5fabc"));
    assert_eq!(ground.sim.pending_actions()[0].assigned_to.as_deref(), Some("5fabc"));
    for (procedure, more) in [("accept", acceptance()), ("reject", json!({}))] {
        let answer = bridge.call(procedure, more).await;
        assert_eq!(message(&answer), (409, "User is assigned to this event"));
        assert_eq!(answer.1["error"]["json"]["data"]["code"], "CONFLICT");
    }
    let unknown = json!({ "actionId": "other", "registrationNumber": NUMBER });
    assert_eq!(bridge.call("accept", unknown.clone()).await.0, 409);
    ground.sim.behave(|behaviour| behaviour.assignment_before_action = false);
    assert_eq!(message(&bridge.call("accept", unknown).await), (404, "Action not found."));
    assert_eq!(bridge.call("accept", acceptance()).await.0, 409);
    assert_eq!(ground.sim.unassign_all(), 1);
    assert_eq!(bridge.call("accept", acceptance()).await.0, 200);
    let file = ground.sim.record(&ground.family.record).unwrap().event.unwrap();
    assert_eq!(file.conflicts, 4);
}

#[tokio::test]
async fn a_share_of_users_is_assigned_for_a_while() {
    let first = Ground::on(Release::V2_1, LATER).await;
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
    let taken = Ground { family, action, ..bridge };
    assert_eq!(taken.call("accept", acceptance()).await.0, 409);
    taken.accepted_at_last().await;
}

#[tokio::test]
async fn only_a_pending_registration_can_be_answered() {
    let ground = Ground::on(Release::V2_1, LATER).await;
    let bridge = ground.client(&[ACCEPT, REJECT]).await;
    let document = ground.sim.event_document(&ground.family.record).unwrap();
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
    assert_eq!(ground.sim.record(&ground.family.record).unwrap().numbers, [NUMBER]);
    let rejected = Ground::on(Release::V2_1, LATER).await;
    let bridge = rejected.client(&[ACCEPT, REJECT]).await;
    assert_eq!(bridge.call("reject", json!({})).await.0, 200);
    assert_eq!(bridge.call("reject", json!({})).await.0, 200);
    let again = bridge.call("accept", acceptance()).await;
    assert_eq!(message(&again), (400, "Action has already been rejected."));
}

#[tokio::test]
async fn a_field_that_no_form_defines_is_refused_or_breaks_the_record() {
    let ground = Ground::on(Release::V2_1, LATER).await;
    let bridge = ground.client(&[ACCEPT]).await;
    let more = json!({ "registrationNumber": NUMBER, "declaration": { "child.other": "1" } });
    assert_eq!(message(&bridge.call("accept", more.clone()).await), (400, "Unexpected field"));
    assert_eq!((ground.status(), ground.sim.events_tally().poisoned), (Status::WaitingValidation, 0));
    ground.sim.behave(|behaviour| behaviour.refuses_undefined_fields = Some(false));
    assert_eq!(bridge.call("accept", more).await.0, 500);
    assert_eq!((ground.status(), ground.sim.events_tally().poisoned), (Status::Registered, 1));
}

#[tokio::test]
async fn a_null_erases_its_field() {
    let ground = Ground::on(Release::V2_1, LATER).await;
    let bridge = ground.client(&[ACCEPT]).await;
    assert_eq!(bridge.accept(NUMBER, json!({ "child.nid": null })).await, 200);
    let record = ground.sim.record(&ground.family.record).unwrap();
    assert_eq!(record.event.unwrap().written()["child.nid"], Value::Null);
    assert!(!record.identifiers.contains_key("NATIONAL_ID"));
}

#[tokio::test]
async fn a_client_gives_a_reason_only_where_that_is_allowed() {
    let ground = Ground::on(Release::V2_1, LATER).await;
    let bridge = ground.client(&["type=record.reject&event=birth"]).await;
    let reject = async || {
        let input = json!({ "eventId": ground.family.record, "content": { "reason": "no birth" } });
        let url = format!("{}/events/event.actions.reject.request", ground.sim.gateway_url());
        let request = ground.http.post(url).bearer_auth(&bridge.token).json(&json!({ "json": input }));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(reject().await, 403);
    ground.sim.behave(|behaviour| behaviour.client_rejects_with_reason = true);
    assert_eq!(reject().await, 200);
    let file = ground.sim.record(&ground.family.record).unwrap().event.unwrap();
    assert_eq!(file.reason.as_deref(), Some("no birth"));
}

#[tokio::test]
async fn the_gateway_may_answer_with_its_login_page() {
    let ground = Ground::on(Release::V2_1, LATER).await;
    ground.sim.behave(|behaviour| behaviour.login_page = true);
    let url = format!("{}/events/event.get", ground.sim.gateway_url());
    let answer = ground.http.get(url).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    let client = ground.sim.add_client("bridge", &[]);
    let form = [("client_id", client.client_id.as_str()), ("client_secret", &client.client_secret)];
    assert_eq!(token(&ground.sim, &form, &[]).await.0, 200, "auth is not behind the login page");
}
