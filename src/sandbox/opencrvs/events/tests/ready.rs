use std::sync::{Arc, Mutex};

use axum::http::Uri;

use super::*;
use crate::sandbox::opencrvs::{Announced, Claims};

type Seen = (String, String);

/// A country config that gives these answers, the last of them again and again.
async fn country(answers: &[u16]) -> (Url, mpsc::UnboundedReceiver<Seen>) {
    let (sent, got) = mpsc::unbounded_channel();
    let answers = Arc::new(Mutex::new(answers.to_vec()));
    let answer = move |uri: Uri, headers: HeaderMap| async move {
        let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
        sent.send((uri.path().to_owned(), token)).unwrap();
        let mut answers = answers.lock().unwrap();
        let status = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
        StatusCode::from_u16(status).unwrap()
    };
    (serve_at("/{*path}", answer).await, got)
}

async fn impatient(release: Release) -> OpencrvsSim {
    let sim = sim(release).await;
    sim.behave(|behaviour| {
        behaviour.ready_backoff = Duration::from_millis(1);
        behaviour.ready_attempts = 3;
    });
    sim
}

#[tokio::test]
async fn core_announces_that_it_is_ready_until_a_call_is_accepted() {
    for (release, path) in
        [(Release::V2_0, "/triggers/system/ready"), (Release::V2_1, "/trigger/system/ready")]
    {
        let sim = impatient(release).await;
        let (url, mut got) = country(&[503, 200]).await;
        assert_eq!(sim.announce_ready(&url).await.unwrap(), Announced::Accepted { calls: 2 });
        let (called, token) = got.recv().await.unwrap();
        assert_eq!(called, path);
        let claims: Claims = sim.core.with_key(|key| key.verify(&token, "countryconfig-user")).unwrap();
        assert_eq!((claims.scope, claims.exp - claims.iat), (vec!["type=integration.create".to_owned()], 60));
    }
    let sim = impatient(Release::V2_1).await;
    for (status, ended) in [
        (404, Announced::NoIntegrations { calls: 1 }),
        (501, Announced::NoIntegrations { calls: 1 }),
        (500, Announced::GaveUp { calls: 3 }),
    ] {
        assert_eq!(sim.announce_ready(&country(&[status]).await.0).await.unwrap(), ended);
    }
    let old = impatient(Release::V1_9).await;
    assert_eq!(old.announce_ready(&country(&[200]).await.0).await.unwrap(), Announced::NotMade);
}

#[tokio::test]
async fn a_client_is_created_with_the_bootstrap_token_only() {
    let sim = impatient(Release::V2_1).await;
    let (url, mut got) = country(&[200]).await;
    sim.announce_ready(&url).await.unwrap();
    let bootstrap = got.recv().await.unwrap().1;
    let http = reqwest::Client::new();
    let integrations = format!("{}integrations", sim.events_url());
    let create = async |token: &str, body: Value| {
        let answer = http.post(&integrations).bearer_auth(token).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let scopes = ["type=record.read&event=birth"];
    let id = "7d1c0a52-3f0e-4a55-9b1e-5a0a6c0c9b11";
    let wanted = json!({ "name": "NID Bridge", "scopes": scopes, "credentials": { "clientId": id, "clientSecret": "s" } });
    let other = sim.add_client("other", &scopes);
    let form = [("client_id", other.client_id.as_str()), ("client_secret", &other.client_secret)];
    let plain = token(&sim, &form, &[]).await.1["access_token"].as_str().unwrap().to_owned();
    assert_eq!(create(&plain, wanted.clone()).await.0, 403);
    assert_eq!(create("nonsense", wanted.clone()).await.0, 401);
    let (status, created) = create(&bootstrap, wanted.clone()).await;
    assert_eq!((status, &created["clientId"], &created["clientSecret"]), (200, &json!(id), &json!("s")));
    assert!(created["shaSecret"].is_string());
    let (status, taken) = create(&bootstrap, wanted).await;
    assert_eq!((status, &taken["code"]), (409, &json!("CONFLICT")));
    let half = json!({ "name": "half", "scopes": scopes, "credentials": { "clientId": id } });
    for wrong in [half, json!({ "name": "", "scopes": scopes }), json!({ "name": "none", "scopes": [] })] {
        assert_eq!(create(&bootstrap, wrong).await.0, 400);
    }
    let list = http.get(&integrations).bearer_auth(&bootstrap).send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    assert!(list.as_array().unwrap().contains(&json!({ "id": id, "name": "NID Bridge" })), "{list}");
    assert_eq!(http.get(&integrations).send().await.unwrap().status(), 401);
    let form = [("client_id", id), ("client_secret", "s")];
    assert_eq!(token(&sim, &form, &[]).await.0, 200);
}
