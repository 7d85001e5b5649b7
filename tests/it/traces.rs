//! One trace follows a registration through the front, the worker, the pause of the ID system, the
//! worker again, and the confirmer.

pub mod collector;

use std::time::Duration;

use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::Kind;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use self::collector::{Collector, Seen};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{World, request_of};
use crate::pipeline::{ends_as, people, stands_as};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

const ON_ITS_WAY: [(&str, &str); 6] = [
    ("front", "POST /event-registration"),
    ("worker", "process registrations.work"),
    ("worker", "process requests.amqp.work"),
    ("worker", "answer"),
    ("confirmer", "process outcomes.work"),
    ("worker", "publish"),
];

/// Adds a `traceparent` header to the one request that comes.
async fn tracing_caller(front: &Url) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let front = front.socket_addrs(|| None).unwrap()[0];
    tokio::spawn(async move {
        let (caller, _) = listener.accept().await.unwrap();
        let mut caller = BufReader::new(caller);
        let mut bridge = TcpStream::connect(front).await.unwrap();
        let mut line = String::new();
        caller.read_line(&mut line).await.unwrap();
        line.push_str(&format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n"));
        bridge.write_all(line.as_bytes()).await.unwrap();
        drop(copy_bidirectional(&mut caller, &mut bridge).await);
    });
    Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap()
}

fn of<'a>(spans: &'a [Seen], role: &str, name: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|span| span.role == role && span.name == name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_of_the_caller_follows_a_registration_to_its_confirmation() {
    let collector = Collector::start();
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str())];
    let mut world = World::with(Engine::Sqlite, &settings).await;
    // The reply arrives on another path than the request, and from a vendor that knows nothing of
    // traces.
    world.nid.change(|vendor| vendor.retry = 1.0);
    let birth = people(Kind::Birth, 1, 81).remove(0);
    let front = tracing_caller(&world.front).await;
    world.opencrvs.submit(&birth, &front, SubmitOptions::default()).await.unwrap();
    ends_as(&world, &birth.record, Status::Registered).await;
    stands_as(&world, &birth.record, "confirmed").await;
    assert_eq!(world.nid.state().finals.len(), 1, "{}", request_of(&birth.record, "birth"));
    for role in ["front", "worker", "confirmer"] {
        assert_eq!(world.terminate(role).await, Some(0), "{role}:\n{}", world.log_text(role));
    }
    let all = async || (collector.roles().len() == 3).then_some(());
    eventually(Duration::from_secs(10), "every role has sent its spans", all).await;
    let spans = collector.spans();
    for (role, name) in ON_ITS_WAY {
        let found = of(&spans, role, name);
        assert!(!found.is_empty(), "{role} has no span {name}: {spans:#?}");
        assert!(found.iter().all(|span| span.trace == TRACE), "{role}, {name}: {found:#?}");
    }
    assert_eq!(of(&spans, "front", "POST /event-registration")[0].parent, PARENT);
    assert_eq!(of(&spans, "worker", "process requests.amqp.work").len(), 2, "asked again: {spans:#?}");
    // The reply starts its own trace, and the trace of the registration links to it.
    let replies = of(&spans, "worker", "process nid.replies");
    let links: Vec<&str> =
        of(&spans, "worker", "answer").iter().flat_map(|span| &span.links).map(String::as_str).collect();
    assert_eq!(replies.len(), 2);
    assert!(replies.iter().all(|span| links.contains(&span.trace.as_str())), "{spans:#?}");
}
