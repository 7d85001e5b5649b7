//! Proxying byte for byte: the test itself is both the client and the upstream of the front.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::broken::listening;
use super::front;
use super::without_a_broker;
use crate::harness::eventually;
use crate::harness::world::{SOON, World};
use crate::traces::collector::Collector;

/// The head of the next message on a connection.
pub(super) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    String::from_utf8(head).unwrap()
}

/// Sends a request that the country config answers so. Returns the head that the country config got
/// and the bytes that the caller got.
async fn exchange(world: &World, service: &TcpListener, request: &str, answer: &str) -> (String, String) {
    let mut caller = TcpStream::connect(world.front.authority()).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    let (mut stream, _) = timeout(SOON, service.accept()).await.expect("a call of the service").unwrap();
    let seen = head(&mut stream).await;
    stream.write_all(answer.as_bytes()).await.unwrap();
    drop(stream);
    let mut text = String::new();
    caller.read_to_string(&mut text).await.unwrap();
    (seen.to_lowercase(), text)
}

fn names(head: &str) -> Vec<&str> {
    head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_target_is_proxied_byte_by_byte_and_no_header_is_added() {
    let (service, upstream) = listening().await;
    let world = front(&format!("{upstream}/country/"), &[]).await;
    let answer = "HTTP/1.1 404 Nothing Here\r\nContent-Length: 2\r\n\r\nno";
    for target in [
        "/a/b//c;d/.well-known",
        "/?q='x'&r={|}^&s=%zz+%2F&&=",
        "/trigger/events/%ff/actions/DECLARE",
        "/event-registration",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: core\r\nConnection: close\r\n\r\n");
        let (seen, text) = exchange(&world, &service, &request, answer).await;
        let expected = format!("get /country{target} http/1.1\r\n").to_lowercase();
        assert!(seen.starts_with(&expected), "{target}: {seen}");
        let mut names = names(&seen);
        names.sort_unstable();
        assert_eq!(names, ["host", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
        assert!(text.starts_with("HTTP/1.1 404 Nothing Here\r\n"), "{text}");
        assert!(!text.to_lowercase().contains("\r\nallow:"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hop_by_hop_headers_of_the_service_are_removed() {
    let (service, upstream) = listening().await;
    let world = front(&upstream, &[]).await;
    let request = "POST /x HTTP/1.0\r\nHost: core\r\nContent-Length: 0\r\nTE: trailers\r\n\r\n";
    let answer = "HTTP/1.0 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                  Upgrade: h2c\r\nX-Kept: 2\r\nContent-Length: 2\r\n\r\nok";
    let (seen, text) = exchange(&world, &service, request, answer).await;
    assert!(seen.starts_with("post /x http/1.1\r\n") && seen.contains("content-length: 0\r\n"), "{seen}");
    let names: Vec<String> = names(&text).into_iter().map(str::to_lowercase).collect();
    assert!(names.contains(&"x-kept".to_owned()) && text.ends_with("\r\n\r\nok"), "{text}");
    for gone in ["x-hop", "keep-alive", "upgrade"] {
        assert!(!names.contains(&gone.to_owned()), "{gone}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_trace_goes_on_through_the_front() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";
    let collector = Collector::start();
    let (service, upstream) = listening().await;
    let mut world = front(&upstream, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)]).await;
    let request = format!(
        "GET /x HTTP/1.1\r\nHost: core\r\nConnection: close\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n\
         tracestate: core=1\r\n\r\n"
    );
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (seen, _) = exchange(&world, &service, &request, answer).await;
    assert_eq!(seen.matches("traceparent: ").count(), 1, "{seen}");
    assert!(seen.contains(&format!("traceparent: 00-{TRACE}-")), "{seen}");
    assert!(!seen.contains(PARENT) && seen.contains("tracestate: core=1"), "our span is between: {seen}");
    assert_eq!(world.terminate("front").await, Some(0));
    let sent = async || collector.spans().into_iter().find(|span| span.name == "proxy");
    let span = eventually(Duration::from_secs(10), "the front has sent its span", sent).await;
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, PARENT));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_sends_everything_before_it_reads_gets_its_answer() {
    const LONG: usize = 20 * 1024 * 1024;
    let (service, upstream) = listening().await;
    let mut world = without_a_broker(&[]).await;
    world.set("COUNTRY_CONFIG_URL", &upstream);
    world.start("front");
    world.ready("front").await;
    let upload = async || {
        let mut caller = TcpStream::connect(world.front.authority()).await.unwrap();
        let start = format!(
            "POST /long HTTP/1.1\r\nHost: core\r\nConnection: close\r\nContent-Length: {LONG}\r\n\r\n"
        );
        caller.write_all(start.as_bytes()).await.unwrap();
        caller.write_all(&vec![b'x'; LONG]).await.expect("the front reads to the end");
        let mut text = String::new();
        caller.read_to_string(&mut text).await.expect("an answer");
        text
    };
    let refusing = async {
        let (mut stream, _) = service.accept().await.unwrap();
        head(&mut stream).await;
        let refusal = "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
        stream.write_all(refusal.as_bytes()).await.unwrap();
        stream
    };
    let both = async { tokio::join!(upload(), refusing) };
    let (text, stream) = timeout(SOON, both).await.expect("an answer in time");
    assert!(text.starts_with("HTTP/1.1 413 ") && text.ends_with("no"), "{text}");
    drop((stream, service));
    let text = timeout(SOON, upload()).await.expect("an answer in time");
    assert!(text.starts_with("HTTP/1.1 502 ") && text.contains("COUNTRY_CONFIG_URL"), "{text}");
}
