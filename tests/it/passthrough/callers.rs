//! Callers that disconnect, stop sending or stop reading, and a country config that is slow.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::broken::{listening, one, refused};
use super::{at, client, front};
use crate::harness::eventually;
use crate::harness::world::{SOON, World};

async fn calling(world: &World, request: &str) -> TcpStream {
    let mut caller = TcpStream::connect(world.front.authority()).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    caller
}

/// Waits until the country config sees that its connection has ended.
async fn learns(stream: &mut TcpStream) {
    let mut rest = [0; 4096];
    let ended = async { while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {} };
    timeout(SOON, ended).await.expect("the connection to the service ends");
}

async fn counted(world: &World, outcome: &str, times: f64) {
    let all = async || (world.metric("front", "nidbridge_passed_total", outcome) >= times).then_some(());
    eventually(SOON, &format!("{outcome} is counted"), all).await;
    let none = async || (world.metric("front", "nidbridge_passing", "") == 0.0).then_some(());
    eventually(SOON, "no request is open", none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_disconnect_before_and_during_the_answer() {
    let (service, upstream) = listening().await;
    let world = front(&upstream, &[("FRONT_PASS_LIMIT", "1")]).await;
    let caller = calling(&world, "GET /x HTTP/1.1\r\nHost: core\r\n\r\n").await;
    let mut thinking = one(&service).await;
    assert_eq!(world.metric("front", "nidbridge_passing", ""), 1.0);
    drop(caller);
    learns(&mut thinking).await;
    counted(&world, "left", 1.0).await;

    let mut caller = calling(&world, "GET /x HTTP/1.1\r\nHost: core\r\n\r\n").await;
    let mut answering = one(&service).await;
    answering.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf").await.unwrap();
    caller.read_u8().await.unwrap();
    drop(caller);
    learns(&mut answering).await;
    counted(&world, "left", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_stops_sending_gets_a_408_and_the_service_is_not_blamed() {
    let (service, upstream) = listening().await;
    let world = front(&upstream, &[("FRONT_PASS_PATIENCE", "300ms")]).await;
    let mut caller =
        calling(&world, "POST /x HTTP/1.1\r\nHost: core\r\nContent-Length: 1000\r\n\r\nhalf").await;
    let mut waiting = one(&service).await;
    let mut start = [0; 12];
    timeout(SOON, caller.read_exact(&mut start)).await.unwrap().unwrap();
    assert_eq!(&start, b"HTTP/1.1 408");
    learns(&mut waiting).await;
    counted(&world, "stalled", 1.0).await;
}

/// Sends an endless answer until the connection ends.
async fn endless(service: &TcpListener) {
    let mut stream = one(service).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n").await.unwrap();
    while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_reads_nothing_keeps_no_permit() {
    let (service, upstream) = listening().await;
    let world = front(&upstream, &[("FRONT_PASS_PATIENCE", "1s"), ("FRONT_PASS_LIMIT", "1")]).await;
    let caller = calling(&world, "GET /x HTTP/1.1\r\nHost: core\r\n\r\n").await;
    timeout(SOON, endless(&service)).await.expect("the connection to the service ends");
    counted(&world, "left", 1.0).await;
    drop(caller);
    let answer = client().get(at(&world, "/next")).send();
    let (answer, ()) = tokio::join!(answer, async {
        one(&service).await.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    assert_eq!(answer.unwrap().status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_take_longer_than_any_of_its_pauses() {
    let (service, upstream) = listening().await;
    let world = front(&upstream, &[("FRONT_PASS_PATIENCE", "1s")]).await;
    let slow = async {
        let mut stream = one(&service).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n").await.unwrap();
        let mut pace = tokio::time::interval(Duration::from_millis(150));
        for _ in 0..14 {
            pace.tick().await;
            stream.write_all(b"x").await.unwrap();
        }
        stream
    };
    let (answer, stream) =
        tokio::join!(async { client().get(at(&world, "/slow")).send().await?.text().await }, slow);
    assert_eq!(answer.unwrap(), "x".repeat(14));
    drop(stream);
    // An answer that stops in the middle is aborted.
    let stopping = async {
        let mut stream = one(&service).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nhalf").await.unwrap();
        learns(&mut stream).await;
    };
    let (answer, ()) =
        tokio::join!(async { client().get(at(&world, "/slow")).send().await?.bytes().await }, stopping);
    assert!(answer.is_err());
    counted(&world, "silent", 1.0).await;
    let (status, _) = {
        let (answer, stream) = tokio::join!(refused(&world, "/x"), one(&service));
        drop(stream);
        answer
    };
    assert_eq!(status, 504);
}
