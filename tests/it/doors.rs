//! Attacks on the doors of a running front: connections that say nothing, heads and bodies that
//! never end. Meanwhile a registration gets its 202, and the probes get their answers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nidbridge::sandbox::opencrvs::SubmitOptions;
use nidbridge::sandbox::population::Declaration;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::front::wire::{Answer, Post, answer, connect};
use crate::front::{births, bundle, token};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};

/// More connections than a front with [`FILES`] can have.
const STRANGERS: usize = 2_000;
const FILES: &str = "--nofile=1024:1024";
const KIB: usize = 1024;

/// A front with few files, which no timeout helps.
async fn front_with_few_files() -> World {
    let settings = [("FRONT_HEAD_TIMEOUT", "1h"), ("FRONT_BODY_TIMEOUT", "1h")];
    let mut world = World::empty(Engine::Sqlite, &settings).await;
    world.start_under("front", &["prlimit", FILES]);
    world.start("front");
    world.ready("front").await;
    world
}

/// Lets this process open as many connections as the tests need.
fn allow_connections() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let enough = maximum.map_or(8_192, |maximum| maximum.min(8_192));
    setrlimit(Resource::Nofile, Rlimit { current: Some(enough), maximum }).unwrap();
}

/// Opens many connections, each of which begins with these bytes.
async fn strangers(world: &World, begin: &[u8]) -> Vec<TcpStream> {
    allow_connections();
    let mut streams = Vec::with_capacity(STRANGERS);
    for _ in 0..STRANGERS {
        let mut stream = connect(&world.front).await;
        // The front may have closed it already.
        drop(stream.write_all(begin).await);
        streams.push(stream);
    }
    streams
}

async fn register(world: &World, declaration: &Declaration) -> Answer {
    Post::new(&token(world, declaration), bundle(declaration).to_string()).to(&world.front).await
}

/// Asserts that the probes and Prometheus get their answers within a second.
fn assert_admin_answers(world: &World) {
    for path in ["/livez", "/readyz", "/metrics"] {
        let begun = Instant::now();
        let (status, _) = world.admin("front", path).expect("an answer");
        assert!(status == 200 && begun.elapsed() < Duration::from_secs(1), "{path}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_keep_no_registration_out() {
    let world = front_with_few_files().await;
    let silent = strangers(&world, b"").await;
    for declaration in births(3, 31) {
        assert_eq!(register(&world, &declaration).await.status, 202);
        assert_admin_answers(&world);
    }
    let crowded_out = world.metric("front", "nidbridge_http_connections_closed_total", "crowded_out");
    assert!(crowded_out >= 1_000.0, "{crowded_out}");
    let failed = world.metric("front", "nidbridge_http_connections_closed_total", "accept_failed");
    assert!(failed == 0.0, "the front had a file for each connection: {failed}");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_keep_no_registration_out() {
    let world = front_with_few_files().await;
    let mut slow = strangers(&world, b"POST /event-registration HTTP/1.1\r\nHost: front\r\nX-Slow: ").await;
    for (n, declaration) in births(3, 32).iter().enumerate() {
        for stream in &mut slow {
            drop(stream.write_all(b"x").await);
        }
        assert_eq!(register(&world, declaration).await.status, 202, "{n}");
        assert_admin_answers(&world);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_late_ends_its_connection() {
    let world = World::with_front(&[("FRONT_HEAD_TIMEOUT", "200ms")]).await;
    let mut late = connect(&world.front).await;
    late.write_all(b"POST /event-registration HTTP/1.1\r\nHost: ").await.unwrap();
    let closed = async || {
        let count = world.metric("front", "nidbridge_http_connections_closed_total", "head_timeout");
        (count >= 1.0).then_some(())
    };
    eventually(SOON, "the connection is closed", closed).await;
    assert_eq!(register(&world, &births(1, 33)[0]).await.status, 202);
}

/// A birth whose document has an attachment, so that it is larger than 256 KiB.
fn large(declaration: &Declaration) -> String {
    let mut bundle = bundle(declaration);
    bundle["attachment"] = json!("A".repeat(300 * KIB));
    bundle.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_keep_no_registration_out_and_lose_their_memory() {
    let world = World::with_front(&[
        ("FRONT_MAX_BODY", "2MiB"),
        ("FRONT_BODY_MEMORY", "8MiB"),
        ("FRONT_MEMORY_WAIT", "300ms"),
        ("FRONT_BODY_TIMEOUT", "10s"),
    ])
    .await;
    let declarations = births(9, 34);
    let (slow, genuine) = declarations.split_at(6);
    let (mut senders, mut answers) = (Vec::new(), JoinSet::new());
    for declaration in slow {
        let post =
            Post::new(&token(&world, declaration), "").with(&format!("Content-Length: {}", 2 * KIB * KIB));
        let (mut reader, mut sender) = connect(&world.front).await.into_split();
        sender.write_all(&[post.head(), b"{".to_vec()].concat()).await.unwrap();
        answers.spawn(async move { answer(&mut reader).await });
        senders.push(sender);
    }
    // Three of the uploads have all the memory of large bodies, so the others are refused.
    for _ in 0..3 {
        let refused = answers.join_next().await.unwrap().unwrap();
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("30")), "{refused:?}");
    }
    assert_eq!(register(&world, &genuine[0]).await.status, 202, "a usual body has memory of its own");
    let post = Post::new(&token(&world, &genuine[1]), large(&genuine[1]));
    let refused = post.to(&world.front).await;
    assert!(refused.status == 503 && refused.body.contains("FRONT_BODY_MEMORY"), "{refused:?}");
    assert_admin_answers(&world);
    // They keep sending, one byte at a time: never a pause, but far too slow.
    let keep_sending = async {
        loop {
            for sender in &mut senders {
                drop(sender.write_all(b" ").await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let all_refused = async {
        while let Some(refused) = answers.join_next().await {
            let refused = refused.unwrap();
            assert!(refused.status == 408 && refused.body.contains("FRONT_BODY_RATE"), "{refused:?}");
        }
    };
    tokio::select! {
        () = all_refused => {}
        () = keep_sending => {}
    }
    assert_eq!(post.to(&world.front).await.status, 202, "their memory is free again");
    assert_eq!(register(&world, &genuine[2]).await.status, 202);
}

/// Accepts connections and answers each with 502; returns its URL and the first lines it got.
async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&asked);
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap_or_default();
            lines.lock().unwrap().push(line);
            drop(stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await);
        }
    }));
    (url, asked)
}

const PROXY_VARIABLES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

#[tokio::test(flavor = "multi_thread")]
async fn no_call_takes_the_proxy_that_the_environment_names() {
    let (url, asked) = proxy().await;
    let settings = PROXY_VARIABLES.map(|name| (name, url.as_str()));
    let mut world = World::with(Engine::Sqlite, &settings).await;
    let declaration = births(1, 35).remove(0);
    let submitted = world.opencrvs.submit(&declaration, &world.front, SubmitOptions::default()).await;
    assert!(submitted.unwrap().result.is_success());
    let confirmed = async || (world.opencrvs.tally().confirmed == 1).then_some(());
    eventually(SOON, "it is confirmed", confirmed).await;
    world.assert_all_run();
    assert_eq!(*asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_take_the_proxy_that_the_settings_name() {
    let (url, asked) = proxy().await;
    let mut world = World::empty(Engine::Sqlite, &[("OPENCRVS_PROXY", &url)]).await;
    world.start("front");
    let listens = async || world.admin("front", "/livez").map(drop);
    eventually(SOON, "the front listens", listens).await;
    assert_eq!(register(&world, &births(1, 36)[0]).await.status, 503, "no key comes from this proxy");
    let expected =
        format!("GET {}/.well-known HTTP/1.1\r\n", world.opencrvs.auth_url().trim_end_matches('/'));
    let asked = asked.lock().unwrap();
    assert!(asked.contains(&expected), "{asked:?}");
}
