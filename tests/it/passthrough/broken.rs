//! A country config that is away, disconnects, is silent, or leads back to the front; and a caller
//! that disconnects.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{at, client, front, without_a_broker};
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};

/// One connection of a country config that behaves as the test wants.
pub(super) async fn one(listener: &TcpListener) -> TcpStream {
    let mut stream = listener.accept().await.unwrap().0;
    let mut head = [0; 4096];
    assert!(stream.read(&mut head).await.unwrap() > 0);
    stream
}

pub(super) async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    (listener, format!("http://{address}"))
}

pub(super) async fn refused(world: &World, path: &str) -> (u16, String) {
    let answer = client().get(at(world, path)).send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["msg"], body["message"]);
    (status, body["message"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_is_a_502_that_says_so() {
    let upstream = format!("http://127.0.0.1:{}", free_port());
    let world = front(&upstream, &[]).await;
    let (status, message) = refused(&world, "/forms?token=Qorvyxandra").await;
    assert_eq!(status, 502);
    assert!(message.contains(&upstream) && message.contains("COUNTRY_CONFIG_URL"), "{message}");
    assert!(!world.log_text("front").contains("Qorvyxandra"), "a query is in the log");
    assert_eq!(world.metric("front", "nidbridge_passed_total", "away"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_disconnects_is_a_502_and_a_silent_one_a_504() {
    let (listener, upstream) = listening().await;
    let world = front(&upstream, &[("FRONT_PASS_PATIENCE", "300ms")]).await;
    let (answer, ()) = tokio::join!(refused(&world, "/forms"), async { drop(one(&listener).await) });
    assert_eq!((answer.0, answer.1.contains("broke the connection off")), (502, true), "{answer:?}");
    let (answer, _held) = tokio::join!(refused(&world, "/forms"), one(&listener));
    assert_eq!((answer.0, answer.1.contains("FRONT_PASS_PATIENCE")), (504, true), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body_is_not_proxied_as_complete() {
    let (listener, upstream) = listening().await;
    let world = front(&upstream, &[]).await;
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let call = client().get(at(&world, "/large")).send();
        let (answer, mut stream) = tokio::join!(call, async {
            let mut stream = one(&listener).await;
            let start = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nhalf\r\n");
            stream.write_all(start.as_bytes()).await.unwrap();
            stream
        });
        let answer = answer.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        assert!(answer.bytes().await.is_err(), "{head}");
    }
    assert_eq!(world.metric("front", "nidbridge_passed_total", "broke_off"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_caller_disconnects_its_connection_to_the_service_ends() {
    let (listener, upstream) = listening().await;
    let world = front(&upstream, &[]).await;
    let mut caller = TcpStream::connect(world.front.authority()).await.unwrap();
    let head = b"POST /upload HTTP/1.1\r\nHost: front\r\nContent-Length: 1000\r\n\r\nhalf of it";
    caller.write_all(head).await.unwrap();
    let mut stream = one(&listener).await;
    drop(caller);
    let ended = async {
        let mut rest = [0; 4096];
        while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
    };
    tokio::time::timeout(SOON, ended).await.expect("the connection to the service ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_whose_country_config_is_itself_says_so_at_once() {
    let mut world = without_a_broker(&[]).await;
    let own = world.front.to_string();
    world.set("COUNTRY_CONFIG_URL", &own);
    world.start("front");
    world.ready("front").await;
    let (status, message) = refused(&world, "/forms").await;
    assert_eq!((status, message.contains("must not lead back")), (508, true), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_limit_are_answered_503() {
    let (listener, upstream) = listening().await;
    let world = front(&upstream, &[("FRONT_PASS_LIMIT", "1")]).await;
    let first = tokio::spawn(client().get(at(&world, "/slow")).send());
    let mut stream = one(&listener).await;
    let (status, message) = refused(&world, "/forms").await;
    assert_eq!((status, message.contains("FRONT_PASS_LIMIT")), (503, true), "{message}");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(first.await.unwrap().unwrap().text().await.unwrap(), "ok");
    drop(stream);
    // The permit is free as soon as the answer has ended.
    let (answer, mut stream) = tokio::join!(client().get(at(&world, "/slow")).send(), async {
        let mut stream = one(&listener).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        stream
    });
    assert_eq!(answer.unwrap().status(), 204);
    stream.shutdown().await.unwrap();
}
