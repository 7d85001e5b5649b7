use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::opencrvs::bare_server::{Server, server};

fn jwt(name: &str, seconds: i64) -> String {
    let now = Timestamp::now().as_second();
    let claims = json!({ "sub": name, "iat": now, "exp": now + seconds, "scope": ["type=record.read"] });
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn granted(name: &str, seconds: i64) -> (u16, String) {
    let body = json!({ "access_token": jwt(name, seconds), "token_type": "Bearer" });
    (200, body.to_string())
}

fn refused() -> (u16, String) {
    (
        401,
        json!({ "error": "invalid_client", "error_description": "Invalid client id or secret" }).to_string(),
    )
}

fn value(secret: &str) -> SecretSource {
    SecretSource::Value(SecretString::from(secret))
}

fn client(server: &Server, secret: SecretSource, next_secret: Option<SecretSource>) -> SystemClient {
    let credentials = ClientCredentials { id: "7d1c&id".to_owned(), secret, next_secret };
    SystemClient::new(&server.settings(), credentials).unwrap()
}

fn requests(server: &Server) -> Vec<String> {
    server.requests()
}

#[tokio::test]
async fn the_credentials_go_into_the_body_as_a_form() {
    let server = server(&[granted("a", 600)]).await;
    let token = client(&server, value("hush hush"), None).access_token().await.unwrap();
    assert_eq!(token.secret().expose_secret().split('.').count(), 3);
    let request = requests(&server).remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /base/auth/token HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-www-form-urlencoded"), "{head}");
    assert_eq!(body, "grant_type=client_credentials&client_id=7d1c%26id&client_secret=hush+hush");
}

#[tokio::test]
async fn tasks_that_arrive_together_share_one_request_and_its_token() {
    let server = server(&[granted("a", 600)]).await;
    let client = client(&server, value("s"), None);
    let tokens = futures_util::future::join_all((0..20).map(|_| client.access_token())).await;
    assert!(tokens.iter().all(|token| token.as_ref().unwrap().is_same(tokens[0].as_ref().unwrap())));
    assert_eq!(requests(&server).len(), 1);
}

#[tokio::test]
async fn tasks_that_arrive_together_share_the_fault() {
    let server = server(&[refused()]).await;
    let client = client(&server, value("s"), None);
    let faults = futures_util::future::join_all((0..20).map(|_| client.access_token())).await;
    assert!(faults.iter().all(|fault| *fault.as_ref().unwrap_err() == ClientFault::Refused));
    assert!(requests(&server).len() <= 2, "{}", requests(&server).len());
}

#[tokio::test]
async fn a_token_is_used_until_a_minute_before_its_end() {
    let server = server(&[granted("a", 600), granted("b", 1), granted("c", 600)]).await;
    let client = client(&server, value("s"), None);
    let (first, now) = (client.access_token().await.unwrap(), Instant::now());
    assert!(first.is_fresh(now + Duration::from_secs(538)));
    assert!(!first.is_fresh(now + Duration::from_secs(541)));
    assert!(client.access_token().await.unwrap().is_same(&first));
    client.refused(&first).await;
    let short = client.access_token().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!client.access_token().await.unwrap().is_same(&short));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_although_it_is_reported_twice() {
    let server = server(&[granted("a", 600), granted("b", 600)]).await;
    let client = client(&server, value("s"), None);
    let first = client.access_token().await.unwrap();
    client.refused(&first).await;
    let second = client.access_token().await.unwrap();
    assert!(!second.is_same(&first));
    client.refused(&first).await;
    assert!(client.access_token().await.unwrap().is_same(&second));
    assert_eq!(requests(&server).len(), 2);
}

#[tokio::test]
async fn the_next_secret_is_tried_when_the_first_is_refused_and_files_are_read_each_time() {
    let server = server(&[refused(), granted("a", 600), granted("b", 600)]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old\n").unwrap();
    let client = client(&server, SecretSource::File(file.path().to_owned()), Some(value("next")));
    let token = client.access_token().await.unwrap();
    client.refused(&token).await;
    std::fs::write(file.path(), "new\n").unwrap();
    client.access_token().await.unwrap();
    let secrets: Vec<_> = requests(&server)
        .iter()
        .map(|request| request.rsplit_once("client_secret=").unwrap().1.to_owned())
        .collect();
    assert_eq!(secrets, ["old", "next", "new"]);
}

#[tokio::test]
async fn a_response_without_a_token_is_a_fault() {
    let page = "<html><body>Sign in</body></html>".to_owned();
    for (status, body, fault) in [
        (200, page.clone(), ClientFault::NotAToken),
        (200, r#"{"access_token":"opaque"}"#.to_owned(), ClientFault::NotAToken),
        (200, r#"{"token":"e30.e30.c2ln"}"#.to_owned(), ClientFault::NotAToken),
        (302, String::new(), ClientFault::Unavailable),
        (404, page.clone(), ClientFault::Unavailable),
        (502, page, ClientFault::Unavailable),
        (400, r#"{"error":"invalid_client"}"#.to_owned(), ClientFault::Refused),
        (400, r#"{"error":"invalid_request"}"#.to_owned(), ClientFault::Unsupported(400)),
        (401, String::new(), ClientFault::Refused),
        (429, String::new(), ClientFault::Throttled(None)),
    ] {
        let server = server(&[(status, body.clone())]).await;
        let found = client(&server, value("s"), None).access_token().await.unwrap_err();
        assert_eq!(found, fault, "{status} {body}");
    }
}

#[tokio::test]
async fn while_auth_throttles_no_request_is_sent_and_no_caller_waits() {
    let server = server(&[(429, String::new()), granted("a", 600)]).await;
    let client = client(&server, value("s"), None);
    for _ in 0..20 {
        assert_eq!(client.access_token().await.unwrap_err(), ClientFault::Throttled(None));
    }
    assert_eq!(requests(&server).len(), 1);
    client.0.last.lock().await.as_mut().unwrap().begun -= DEFAULT_RETRY_AFTER;
    client.access_token().await.unwrap();
}

#[test]
fn a_fault_is_shared_by_the_calls_that_arrived_before_its_request_or_within_its_pause() {
    let begun = Instant::now();
    let tick = Duration::from_nanos(1);
    for (fault, pause) in [
        (ClientFault::Refused, Duration::ZERO),
        (ClientFault::Throttled(Some(Duration::from_secs(7))), Duration::from_secs(7)),
        (ClientFault::Throttled(None), DEFAULT_RETRY_AFTER),
    ] {
        let last = LastFetch { begun, result: Err(fault) };
        let current = |arrived: Instant| last.current(arrived).map(|result| result.unwrap_err());
        assert_eq!(current(begun + pause - tick), Some(fault));
        assert_eq!(current(begun + pause), None, "{fault:?}");
    }
}

#[tokio::test]
async fn without_a_secret_nothing_is_sent() {
    let server = server(&[granted("a", 600)]).await;
    let missing = SecretSource::File("/nowhere/at/all".into());
    let fault = client(&server, missing, None).access_token().await.unwrap_err();
    assert_eq!(fault, ClientFault::NoSecret);
    assert!(requests(&server).is_empty());
}

#[tokio::test]
async fn no_text_shows_a_secret_or_a_token() {
    let server = server(&[granted("a", 600)]).await;
    let client = client(&server, value("hush"), None);
    let token = client.access_token().await.unwrap();
    let shown = format!("{client:?} {token:?} {:?}", client.0.credentials);
    assert!(!shown.contains("hush"), "{shown}");
    assert!(!shown.contains("e30."), "{shown}");
}

#[test]
fn only_what_an_operator_has_to_mend_is_a_refusal() {
    for refusal in [ClientFault::Refused, ClientFault::NoSecret, ClientFault::Unsupported(404)] {
        assert!(refusal.is_refusal(), "{refusal:?}");
    }
    for other in [ClientFault::Unavailable, ClientFault::Throttled(None), ClientFault::NotAToken] {
        assert!(!other.is_refusal(), "{other:?}");
    }
}
