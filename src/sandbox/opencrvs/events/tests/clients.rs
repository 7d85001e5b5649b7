use super::*;
use crate::sandbox::opencrvs::UserType;

const READ: &str = "type=record.read&event=birth";

fn form(credentials: &ClientCredentials) -> [(&str, &str); 2] {
    [("client_id", &credentials.client_id), ("client_secret", &credentials.client_secret)]
}

#[tokio::test]
async fn credentials_belong_in_the_body_of_the_request() {
    let sim = sim(Release::V2_1).await;
    let client = sim.add_client("bridge", &[READ]);
    let (status, body) = token(&sim, &form(&client), &[]).await;
    assert_eq!((status, &body["token_type"]), (200, &json!("Bearer")));
    let given = body["access_token"].as_str().unwrap();
    let claims = sim.core.with_key(|key| key.verify(given, "gateway-user")).unwrap();
    assert_eq!((claims.sub.as_str(), claims.exp - claims.iat), (client.client_id.as_str(), 600));
    assert_eq!((claims.scope, claims.user_type), (vec![READ.to_owned()], Some(UserType::System)));
    let (status, body) = token(&sim, &[], &form(&client)).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    let (status, body) = token(&sim, &[("client_id", "x"), ("client_secret", "y")], &[]).await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_client")));
    sim.behave(|behaviour| behaviour.takes_query_credentials = true);
    assert_eq!(token(&sim, &[], &form(&client)).await.0, 200);
    let seen = sim.token_requests();
    assert_eq!((seen.asked, seen.given, seen.refused, seen.in_query), (4, 2, 1, 2));
    sim.upgrade(Release::V1_9);
    assert_eq!(token(&sim, &form(&client), &[]).await.0, 400, "1.9 reads the query only");
}

#[tokio::test]
async fn a_rotated_secret_is_invalid_and_its_tokens_may_be_too() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let client = fixture.sim.add_client("bridge", &[READ]);
    let (_, body) = token(&fixture.sim, &form(&client), &[]).await;
    let held = fixture.with(body["access_token"].as_str().unwrap().to_owned());
    let get = json!({ "eventId": fixture.family.record });
    let secret = fixture.sim.rotate_secret(&client.client_id).unwrap();
    assert_eq!(token(&fixture.sim, &form(&client), &[]).await.0, 401);
    assert_eq!(held.query("event.get", get.clone()).await.0, 200);
    fixture.sim.behave(|behaviour| behaviour.rotation_kills_tokens = true);
    assert_eq!(held.query("event.get", get.clone()).await.0, 401);
    let fresh = [("client_id", client.client_id.as_str()), ("client_secret", secret.as_str())];
    let (_, body) = token(&fixture.sim, &fresh, &[]).await;
    let held = fixture.with(body["access_token"].as_str().unwrap().to_owned());
    assert_eq!(held.query("event.get", get.clone()).await.0, 200);
    fixture.sim.behave(|behaviour| behaviour.rotation_kills_tokens = false);
    assert!(fixture.sim.revoke_tokens(&client.client_id));
    assert_eq!(held.query("event.get", get.clone()).await.0, 401);
    // The hash of a token that is signed in the same second is the same.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (_, body) = token(&fixture.sim, &fresh, &[]).await;
    let fresh = fixture.with(body["access_token"].as_str().unwrap().to_owned());
    assert_eq!(fresh.query("event.get", get).await.0, 200);
}

#[tokio::test]
async fn a_token_keeps_its_scopes_until_its_client_is_deleted() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let client = fixture.sim.add_client("bridge", &[READ]);
    let credentials = form(&client);
    let (_, body) = token(&fixture.sim, &credentials, &[]).await;
    let held = fixture.with(body["access_token"].as_str().unwrap().to_owned());
    let get = json!({ "eventId": fixture.family.record });
    assert!(fixture.sim.set_client_scopes(&client.client_id, &["type=record.read&event=death"]));
    assert_eq!(held.query("event.get", get.clone()).await.0, 200);
    let (_, body) = token(&fixture.sim, &credentials, &[]).await;
    let changed = fixture.with(body["access_token"].as_str().unwrap().to_owned());
    let not_found = format!("Event not found with ID: {}", fixture.family.record);
    assert_eq!(message(&changed.query("event.get", get.clone()).await), (404, not_found.as_str()));
    assert!(fixture.sim.disable_client(&client.client_id, true));
    assert_eq!(token(&fixture.sim, &credentials, &[]).await.0, 401);
    assert!(fixture.sim.delete_client(&client.client_id));
    assert_eq!(held.query("event.get", get).await.0, 401);
    assert_eq!(fixture.sim.calls_of("event.get", Credential::Client), 3);
}

#[tokio::test]
async fn tokens_are_exchanged_before_2_1_only() {
    let fixture = Fixture::answered(LATER).await;
    let exchange = async || {
        let query = [
            ("grant_type", "urn:opencrvs:oauth:grant-type:token-exchange"),
            ("subject_token", fixture.token.as_str()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("requested_token_type", "urn:opencrvs:oauth:token-type:single_record_token"),
            ("event_id", fixture.family.record.as_str()),
            ("action_id", fixture.action.as_str()),
        ];
        let url = format!("{}/auth/token", fixture.sim.gateway_url());
        fixture.http.post(url).query(&query).send().await.unwrap().status().as_u16()
    };
    assert_eq!(exchange().await, 200);
    fixture.sim.upgrade(Release::V2_1);
    assert_eq!(exchange().await, 400);
    fixture.sim.behave(|behaviour| behaviour.exchange_gone_status = 404);
    assert_eq!(exchange().await, 404);
}
