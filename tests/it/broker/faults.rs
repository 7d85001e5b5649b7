//! Faults of the broker: a broken network or a killed node costs time and duplicates, but never a
//! message.

use nidbridge::pipeline::{names, targets, topology};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nidbridge::broker::{
    BrokerError, ConsumerSettings, Link, LinkSettings, LinkState, Settlement, Target, Topology, WorkQueue,
};
use nidbridge::sandbox::rabbitmq::Cluster;
use nidbridge::telemetry::Metrics;
use tokio::sync::{Semaphore, mpsc};

use super::{Running, SOON, consumer, message, put, told};
use crate::harness::vhosts::{connected, quick};
use crate::harness::{ChaosProxy, Vhosts, eventually, temporary};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_comes_back_and_nothing_is_lost() {
    const MESSAGES: usize = 300;
    let vhosts = Vhosts::fresh().await;
    let proxy = ChaosProxy::before(vhosts.amqp_port()).await;
    let queue = WorkQueue::new("story.work", &vhosts.settings.retry_steps, &[]);
    let topology = Topology::of(&vhosts.bridge, std::slice::from_ref(&queue), &vhosts.settings.limits);
    let direct = vhosts.link(topology.clone()).await;
    let metrics = Arc::new(Metrics::new());
    let cut = vhosts.link_settings_by("cut", proxy.port());
    let broken = connected(Link::open(&cut, topology, Arc::clone(&metrics))).await;
    assert_eq!(
        counted(&metrics, "nidbridge_broker_reconnects_total{link=\"cut\"}"),
        0,
        "the first is no return"
    );
    let (tell, mut done) = mpsc::unbounded_channel();
    let running = Running::start(&broken, &queue, consumer(), move |message| {
        tell.send(message.id.unwrap()).unwrap();
        async { Settlement::Done }
    });
    let mut seen = BTreeSet::new();
    for number in 0..MESSAGES {
        put(&direct, queue.name(), &number.to_string()).await;
        if number % 100 == 50 {
            // Cutting a link that is not connected again yet would count as one loss.
            assert!(broken.connected(SOON).await, "it did not come back");
            proxy.cut();
            let mut state = broken.state();
            let away = state.wait_for(|state| matches!(state, LinkState::Away(_)));
            tokio::time::timeout(SOON, away).await.expect("the cut is seen").expect("a link");
            proxy.restore();
        }
    }
    while seen.len() < MESSAGES {
        seen.insert(told(&mut done).await);
    }
    running.stop().await;
    // The two connections of a link may notice a cut at different times, so one cut can count as
    // two losses.
    eventually(SOON, "every return is counted", async || {
        (counted(&metrics, "nidbridge_broker_reconnects_total{link=\"cut\"}") >= 3).then_some(())
    })
    .await;
    eventually(SOON, "nothing is left", async || {
        (direct.depth(queue.name()).await.unwrap().ready == 0).then_some(())
    })
    .await;
    assert_eq!(direct.depth(&queue.parked()).await.unwrap().ready, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_finished_too_late_to_acknowledge_comes_again_and_is_counted() {
    let vhosts = Vhosts::fresh().await;
    let proxy = ChaosProxy::before(vhosts.amqp_port()).await;
    let queue = WorkQueue::new("story.work", &vhosts.settings.retry_steps, &[]);
    let topology = Topology::of(&vhosts.bridge, std::slice::from_ref(&queue), &vhosts.settings.limits);
    let direct = vhosts.link(topology.clone()).await;
    let metrics = Arc::new(Metrics::new());
    let cut = vhosts.link_settings_by("cut", proxy.port());
    let broken = connected(Link::open(&cut, topology, Arc::clone(&metrics))).await;
    let gate = Arc::new(Semaphore::new(0));
    let (tell, mut begun) = mpsc::unbounded_channel();
    let at_the_gate = Arc::clone(&gate);
    let running = Running::start(&broken, &queue, consumer(), move |_| {
        let (gate, tell) = (Arc::clone(&at_the_gate), tell.clone());
        async move {
            tell.send(()).unwrap();
            gate.acquire_owned().await.unwrap().forget();
            Settlement::Done
        }
    });
    put(&direct, queue.name(), "one").await;
    told(&mut begun).await;
    proxy.cut();
    eventually(SOON, "the consumer's connection is gone", async || {
        // A request that was under way when the connection broke may never be answered.
        let asked = tokio::time::timeout(Duration::from_millis(500), broken.depth(queue.name())).await;
        matches!(asked, Ok(Err(BrokerError::Away(_)))).then_some(())
    })
    .await;
    gate.add_permits(1);
    let unsettled = "nidbridge_unsettled_total{stage=\"story\"}";
    eventually(SOON, "it is counted", async || (counted(&metrics, unsettled) == 1).then_some(())).await;
    proxy.restore();
    told(&mut begun).await;
    gate.add_permits(1);
    running.stop().await;
    assert_eq!(counted(&metrics, unsettled), 1, "the second time it is settled");
    assert_eq!(direct.depth(queue.name()).await.unwrap().ready, 0);
}

/// The value of a counter. A counter that was never incremented is not exported.
fn counted(metrics: &Metrics, series: &str) -> u64 {
    let text = metrics.encode();
    text.lines().find_map(|line| line.strip_prefix(series)).map_or(0, |value| value.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_is_found_by_the_heartbeat() {
    let vhosts = Vhosts::fresh().await;
    let proxy = ChaosProxy::before(vhosts.amqp_port()).await;
    let queue = WorkQueue::new("q", &[], &[]);
    let topology = Topology::of(&vhosts.bridge, &[queue], &vhosts.settings.limits);
    let settings = LinkSettings {
        heartbeat: Duration::from_secs(1),
        publish_timeout: Duration::from_millis(300),
        ..vhosts.link_settings_by("hole", proxy.port())
    };
    let link = connected(Link::open(&settings, topology, Arc::new(nidbridge::broker::Unobserved))).await;
    eventually(SOON, "a first message goes through", async || {
        link.publisher().publish(&Target::queue("q"), message("before")).await.ok()
    })
    .await;
    proxy.blackhole();
    let lost = link.publisher().publish(&Target::queue("q"), message("during")).await.unwrap_err();
    assert!(lost.may_be_stored(), "{lost:?}");
    let mut state = link.state();
    let away = state.wait_for(|state| matches!(state, LinkState::Away(_)));
    tokio::time::timeout(SOON, away).await.expect("the silence is noticed").expect("a link");
    proxy.restore();
    assert!(link.publisher().available(SOON).await);
    eventually(SOON, "messages go through again", async || {
        link.publisher().publish(&Target::queue("q"), message("after")).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_keeps_what_it_confirmed_and_is_used_again() {
    let settings = quick();
    let topologies = [topology::bridge(&settings, &[names::AMQP_SYSTEM]), topology::national_id(&settings)];
    let dir = temporary("killed");
    let mut node =
        Cluster::start_temporary(&dir, &topologies).await.unwrap_or_else(|cause| panic!("{cause}"));
    let link_settings = LinkSettings {
        apply_topology: false,
        publish_timeout: Duration::from_secs(5),
        reconnect_max: Duration::from_millis(500),
        ..LinkSettings::new("test", node.amqp_url(names::BRIDGE_VHOST))
    };
    let [bridge, national_id] = topologies;
    let link =
        connected(Link::open(&link_settings, bridge.clone(), Arc::new(nidbridge::broker::Unobserved))).await;
    let nid_settings = LinkSettings { url: node.amqp_url(names::NID_VHOST), ..link_settings.clone() };
    let nid =
        connected(Link::open(&nid_settings, national_id.clone(), Arc::new(nidbridge::broker::Unobserved)))
            .await;
    assert_eq!(link.check(&bridge).await.unwrap(), [], "the definitions are the topology");
    assert_eq!(nid.check(&national_id).await.unwrap(), [], "the definitions are the topology");

    let publisher = link.publisher();
    let publishing = tokio::spawn(async move {
        let mut stored = BTreeSet::new();
        let mut failed = 0;
        while failed == 0 || stored.len() < 50 {
            let id = format!("{}", stored.len() + failed);
            match publisher.publish(&targets::registrations(), message(&id)).await {
                Ok(()) => drop(stored.insert(id)),
                Err(_) => {
                    failed += 1;
                    publisher.available(SOON).await;
                }
            }
        }
        stored
    });
    eventually(SOON, "messages are stored", async || {
        (link.depth(names::REGISTRATIONS_WORK).await.ok()?.ready > 20).then_some(())
    })
    .await;
    node.kill9(0).await.unwrap();
    node.restart(0).await.unwrap_or_else(|cause| panic!("{cause}"));
    let stored = tokio::time::timeout(SOON * 2, publishing).await.expect("in time").expect("a publisher");
    let link = connected(link).await;
    let mut found = BTreeSet::new();
    while let Some(got) = link.take(names::REGISTRATIONS_WORK).await.unwrap() {
        found.insert(got.id.unwrap());
    }
    assert!(stored.is_subset(&found), "confirmed and lost: {:?}", stored.difference(&found));
    link.close().await;
    nid.close().await;
    node.stop().await.unwrap();
    assert!(!dir.exists(), "a temporary node leaves nothing behind");
}

/// lapin alone overflows its stack on the first message, which ends the process, and closes the
/// connection on the others. The broker would redeliver them for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_no_client_could_parse_is_delivered_without_its_bad_properties() {
    let vhosts = Vhosts::fresh().await;
    let queue = WorkQueue::new("story.work", &vhosts.settings.retry_steps, &[]);
    let topology = Topology::of(&vhosts.bridge, std::slice::from_ref(&queue), &vhosts.settings.limits);
    let link = vhosts.link(topology).await;
    let nested = format!(r#"{}"x"{}"#, r#"{"a":"#.repeat(3_000), "}".repeat(3_000));
    let (vhost, api) = (vhosts.bridge.clone(), vhosts.api().clone());
    let published = tokio::task::spawn_blocking(move || {
        for headers in ["{}", nested.as_str()] {
            let message = format!(
                r#"{{"properties":{{"message_id":"m","headers":{headers}}},"routing_key":"story.work","payload":"body","payload_encoding":"string"}}"#
            );
            let answer = api.must("POST", &format!("/exchanges/{vhost}/amq.default/publish"), &message);
            assert!(answer.contains(r#""routed":true"#), "{answer}");
        }
    });
    published.await.expect("two messages");
    let (tell, mut done) = mpsc::unbounded_channel();
    let running = Running::start(&link, &queue, consumer(), move |message| {
        tell.send((message.id, message.body)).unwrap();
        async { Settlement::Done }
    });
    let both = BTreeSet::from([told(&mut done).await, told(&mut done).await]);
    let read = |id: Option<&str>| (id.map(str::to_owned), "body".into());
    assert_eq!(both, BTreeSet::from([read(Some("m")), read(None)]), "the one's properties are left out");
    running.stop().await;
    assert_eq!(link.depth(queue.name()).await.unwrap().ready, 0);
}

/// As when a queue has no leader for a while: the request that timed out is carried out later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_comes_too_late_keeps_no_message_from_the_one_that_took_its_place() {
    const MESSAGES: usize = 100;
    let vhosts = Vhosts::fresh().await;
    let queue = WorkQueue::new("story.work", &vhosts.settings.retry_steps, &[]);
    let topology = Topology::of(&vhosts.bridge, std::slice::from_ref(&queue), &vhosts.settings.limits);
    let link = vhosts.link(topology).await;
    for number in 0..MESSAGES {
        put(&link, queue.name(), &number.to_string()).await;
    }
    let leader = format!("'{}_{}'", vhosts.bridge, queue.name());
    vhosts.eval(&format!("sys:suspend({leader}).")).await;
    let (tell, mut done) = mpsc::unbounded_channel();
    let settings = ConsumerSettings { opening: Duration::from_millis(300), ..consumer() };
    let running = Running::start(&link, &queue, settings, move |message| {
        tell.send(message.id.unwrap()).unwrap();
        async { Settlement::Done }
    });
    let nothing = tokio::time::timeout(Duration::from_secs(2), done.recv()).await;
    assert!(nothing.is_err(), "the queue cannot give anything");
    vhosts.eval(&format!("sys:resume({leader}).")).await;
    let mut seen = BTreeSet::new();
    while seen.len() < MESSAGES {
        seen.insert(told(&mut done).await);
    }
    running.stop().await;
}
