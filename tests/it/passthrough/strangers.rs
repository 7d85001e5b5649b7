//! What strangers try at the proxy: other spellings of the front's paths, paths that lead out of
//! the country's base path, claims about themselves, all the places for themselves.

use futures_util::FutureExt as _;
use nidbridge::sandbox::opencrvs::SubmitOptions;
use tokio::io::AsyncWriteExt as _;

use super::broken::listening;
use super::exact::head;
use super::front;
use crate::front::wire::{Post, answer, connect, send};
use crate::front::{births, bundle, token};
use crate::harness::eventually;
use crate::harness::world::{SOON, World};

async fn asked(world: &World, request: &str) -> u16 {
    let mut stream = connect(&world.front).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(&mut stream).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_spelling_of_a_registrations_path_gets_past_the_front() {
    let (service, upstream) = listening().await;
    let world = front(&upstream, &[("FRONT_PASS_PATIENCE", "2s")]).await;
    let birth = births(1, 141).remove(0);
    let authorization = format!("Authorization: Bearer {}", token(&world, &birth));
    let body = bundle(&birth).to_string();
    for path in [
        "//event-registration",
        "/event-registration/",
        "/event%2Dregistration",
        "/event%252Dregistration",
        "/EVENT-registration",
        "/x/../event-registration",
        "/x/%2e%2e/event-registration",
        "/event-registration;a=b",
        "http://front//event-registration",
        "/trigger/events/birth/actions/REGISTER/",
        "/trigger//events/birth/actions/REGISTER",
        "/trigger/events/%62irth/actions/REGISTER",
        "/trigger/events/birth/actions/REGIS%54ER",
        "/trigger/system/ready/",
    ] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: front\r\n{authorization}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(asked(&world, &request).await, 400, "{path}");
    }
    for hosts in ["Host: front\r\nHost: other", "Host: front\r\nHost: front"] {
        for path in ["/", "/event-registration"] {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n\r\n");
            assert_eq!(asked(&world, &request).await, 400, "{hosts}");
        }
    }
    let twice = Post::new(&token(&world, &birth), body.clone()).with("Authorization: Bearer other");
    assert_eq!(twice.to(&world.front).await.status, 401);
    assert!(service.accept().now_or_never().is_none(), "the country's service was called");
    assert_eq!(Post::new(&token(&world, &birth), body).to(&world.front).await.status, 503, "no broker");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leaves_the_base_path_of_the_service() {
    let (service, upstream) = listening().await;
    let world = front(&format!("{upstream}/country/"), &[]).await;
    for path in [
        "/../admin",
        "/a/../../admin",
        "/%2e%2e/admin",
        "/%252e%252e/admin",
        "/..\\admin",
        "/./a",
        "/..;/admin",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: front\r\n\r\n");
        assert_eq!(asked(&world, &request).await, 400, "{path}");
    }
    assert!(service.accept().now_or_never().is_none(), "the country's service was called");
    assert_eq!(world.metric("front", "nidbridge_passed_total", "target"), 7.0);
}

async fn head_at_the_service(proxies: &str, request: &str) -> String {
    let (service, upstream) = listening().await;
    let world = front(&upstream, &[("TRUSTED_PROXIES", proxies)]).await;
    let mut caller = connect(&world.front).await;
    caller.write_all(request.as_bytes()).await.unwrap();
    let mut called = service.accept().await.unwrap().0;
    head(&mut called).await.to_lowercase()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_says_about_itself_counts_only_behind_a_trusted_proxy() {
    let request = "GET /forms HTTP/1.1\r\nHost: country.gov\r\nX-Forwarded-For: 198.51.100.7\r\n\
                   X-Forwarded-Host: register.gov\r\nX-Forwarded-Proto: https\r\nForwarded: for=198.51.100.7\r\n\
                   X-Real-IP: 198.51.100.7\r\nConnection: x-forwarded-for\r\n\r\n";
    let stranger = head_at_the_service("192.0.2.0/24", request).await;
    assert!(stranger.contains("x-forwarded-for: 127.0.0.1\r\n"), "{stranger}");
    assert!(stranger.contains("x-forwarded-host: country.gov\r\n"), "{stranger}");
    assert!(stranger.contains("x-forwarded-proto: http\r\n"), "{stranger}");
    assert!(!stranger.contains("198.51.100.7"), "{stranger}");
    let request = request.replace("Connection: x-forwarded-for\r\n", "");
    let proxy = head_at_the_service("192.0.2.0/24, 127.0.0.1", &request).await;
    assert!(proxy.contains("x-forwarded-for: 198.51.100.7, 127.0.0.1\r\n"), "{proxy}");
    assert!(proxy.contains("x-forwarded-host: register.gov\r\n"), "{proxy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_leaves_a_quarter_of_the_places_to_others() {
    let (service, upstream) = listening().await;
    let world = front(&upstream, &[("FRONT_PASS_LIMIT", "4")]).await;
    // The service answers nobody.
    let silent = tokio::spawn(async move {
        let mut all = Vec::new();
        loop {
            all.push(service.accept().await.unwrap());
        }
    });
    let request = |caller: &str| format!("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {caller}\r\n\r\n");
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&world.front).await;
        stream.write_all(request("198.51.100.7").as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let passing = || world.metric("front", "nidbridge_passing", "");
    eventually(SOON, "three requests are proxied", async || (passing() > 2.5).then_some(())).await;
    let refused = send(&world.front, request("198.51.100.7").as_bytes()).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("30")), "{refused:?}");
    let mut other = connect(&world.front).await;
    other.write_all(request("198.51.100.8").as_bytes()).await.unwrap();
    eventually(SOON, "the other caller's is, too", async || (passing() > 3.5).then_some(())).await;
    assert_eq!(asked(&world, &request("198.51.100.9")).await, 503);
    drop(waiting);
    eventually(SOON, "the places are free again", async || (passing() < 1.5).then_some(())).await;
    silent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_cannot_take_up_the_memory_for_bodies() {
    let world = World::with_front(&[("FRONT_BODY_TIMEOUT", "1h")]).await;
    let births = births(2, 142);
    let head = |birth| {
        let mut head = Post::new(&token(&world, birth), "").with("Content-Length: 1000").head();
        head.extend(b"{");
        head
    };
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&world.front).await;
        stream.write_all(&head(&births[0])).await.unwrap();
        slow.push(stream);
    }
    let refused = async || {
        let post = Post::new(&token(&world, &births[0]), bundle(&births[0]).to_string());
        (post.to(&world.front).await.status == 429).then_some(())
    };
    eventually(SOON, "a fifth is refused", refused).await;
    let sent = world.opencrvs.submit(&births[1], &world.front, SubmitOptions::default()).await.unwrap();
    assert!(sent.result.is_success(), "{:?}", sent.result);
    drop(slow);
    let accepted = async || {
        let post = Post::new(&token(&world, &births[0]), bundle(&births[0]).to_string());
        (post.to(&world.front).await.status == 202).then_some(())
    };
    eventually(SOON, "the record is accepted again", accepted).await;
}
