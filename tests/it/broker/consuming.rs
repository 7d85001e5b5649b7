//! Consuming: every delivery is settled once, after its follow-up is stored.

use nidbridge::broker::headers;
use nidbridge::pipeline::{queues, targets, topology};
use std::sync::Arc;
use std::time::Duration;

use nidbridge::broker::{ConsumerSettings, Delay, Settlement, Topology, WorkQueue};
use nidbridge::domain::Cause;
use tokio::sync::{Semaphore, mpsc};

use super::{Running, SOON, consumer, put, told};
use crate::harness::{Vhosts, eventually};

fn work(vhosts: &Vhosts) -> (WorkQueue, Topology) {
    let queue = WorkQueue::new("story.work", &vhosts.settings.retry_steps, &[]);
    let topology = Topology::of(&vhosts.bridge, std::slice::from_ref(&queue), &vhosts.settings.limits);
    (queue, topology)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_gets_the_message_again_later() {
    let vhosts = Vhosts::fresh().await;
    let (queue, topology) = work(&vhosts);
    let link = vhosts.link(topology).await;
    let (tell, mut attempts) = mpsc::unbounded_channel();
    let running = Running::start(&link, &queue, consumer(), move |message| {
        let tell = tell.clone();
        async move {
            tell.send((message.attempt, message.first_seen, message.exchange.clone())).unwrap();
            assert!(message.attempt >= 2, "a panic of the test");
            Settlement::Done
        }
    });
    put(&link, queue.name(), "one").await;
    let (first, seen, _) = told(&mut attempts).await;
    let (second, again, _) = told(&mut attempts).await;
    let (third, and_again, _) = told(&mut attempts).await;
    assert_eq!((first, second, third), (0, 1, 2));
    assert!((again - seen).get_milliseconds().abs() < 1_000 && again == and_again, "first seen is kept");
    running.stop().await;
    for place in [queue.name(), &queue.parked()] {
        assert_eq!(link.depth(place).await.unwrap().ready, 0, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_never_ends_is_given_up_and_gets_the_message_again_later() {
    let vhosts = Vhosts::fresh().await;
    let (queue, topology) = work(&vhosts);
    let link = vhosts.link(topology).await;
    let (tell, mut attempts) = mpsc::unbounded_channel();
    let settings = ConsumerSettings { prefetch: 1, handling: Duration::from_millis(200), ..consumer() };
    let running = Running::start(&link, &queue, settings, move |message| {
        let tell = tell.clone();
        async move {
            tell.send(message.attempt).unwrap();
            if message.attempt == 0 {
                std::future::pending::<()>().await;
            }
            Settlement::Done
        }
    });
    put(&link, queue.name(), "one").await;
    assert_eq!((told(&mut attempts).await, told(&mut attempts).await), (0, 1));
    running.stop().await;
    for place in [queue.name(), &queue.parked()] {
        assert_eq!(link.depth(place).await.unwrap().ready, 0, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_message_says_why_and_from_where_and_may_be_sealed() {
    let vhosts = Vhosts::fresh().await;
    let (queue, topology) = work(&vhosts);
    let link = vhosts.link(topology).await;
    let running = Running::start(&link, &queue, consumer(), async |_| Settlement::Park {
        cause: Cause::UnknownVersion.into(),
        body: Some(b"sealed".to_vec()),
        detail: Some("status".to_owned()),
    });
    put(&link, queue.name(), "one").await;
    let parked = queue.parked();
    // Looking into the queue leaves the message there, however often.
    for _ in 0..4 {
        let seen =
            eventually(SOON, "the message is parked", async || link.peek(&parked, 10).await.unwrap().pop())
                .await;
        assert_eq!(seen.id.as_deref(), Some("one"));
        assert_eq!(seen.headers[headers::CAUSE], "unknown_version");
        assert_eq!(seen.headers[headers::DETAIL], "status");
        assert_eq!(seen.headers[headers::ORIGINAL_QUEUE], queue.name());
        assert_eq!(seen.headers[headers::WORKER_VERSION], env!("CARGO_PKG_VERSION"));
        assert!(seen.headers[headers::PARKED_AT].parse::<jiff::Timestamp>().is_ok());
        assert_eq!(&seen.body[..], b"sealed");
    }
    running.stop().await;
    assert_eq!(link.depth(queue.name()).await.unwrap().ready, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_deliveries_in_flight_and_gives_the_rest_back() {
    let vhosts = Vhosts::fresh().await;
    let (queue, topology) = work(&vhosts);
    let link = vhosts.link(topology).await;
    for number in 0..10 {
        put(&link, queue.name(), &number.to_string()).await;
    }
    let gate = Arc::new(Semaphore::new(0));
    let (tell, mut begun) = mpsc::unbounded_channel();
    let settings = ConsumerSettings { prefetch: 4, ..consumer() };
    let at_the_gate = Arc::clone(&gate);
    let running = Running::start(&link, &queue, settings, move |message| {
        let (gate, tell) = (Arc::clone(&at_the_gate), tell.clone());
        async move {
            tell.send(message.id).unwrap();
            gate.acquire_owned().await.unwrap().forget();
            Settlement::Done
        }
    });
    for _ in 0..4 {
        told(&mut begun).await;
    }
    running.ask_to_stop();
    gate.add_permits(100);
    running.stop().await;
    assert!(begun.try_recv().is_err(), "nothing is begun after the stop");
    eventually(SOON, "the six others are back", async || {
        (link.depth(queue.name()).await.unwrap().ready == 6).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_outlasts_the_drain_timeout_goes_back() {
    let vhosts = Vhosts::fresh().await;
    let (queue, topology) = work(&vhosts);
    let link = vhosts.link(topology).await;
    put(&link, queue.name(), "one").await;
    let (tell, mut begun) = mpsc::unbounded_channel();
    let settings = ConsumerSettings { drain: Duration::from_millis(50), ..consumer() };
    let running = Running::start(&link, &queue, settings, move |_| {
        let tell = tell.clone();
        async move {
            tell.send(()).unwrap();
            std::future::pending().await
        }
    });
    told(&mut begun).await;
    running.stop().await;
    eventually(SOON, "the message is back", async || {
        (link.depth(queue.name()).await.unwrap().ready == 1).then_some(())
    })
    .await;
}

/// If the broker refuses the follow-up, the message is neither lost nor stuck.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_moved_comes_back_until_it_can() {
    let vhosts = Vhosts::fresh().await;
    let (queue, topology) = work(&vhosts);
    let link = vhosts.link(topology.clone()).await;
    let path = format!("/queues/{}/{}", vhosts.bridge, queue.parked());
    vhosts.api().must("DELETE", &path, "");
    let (tell, mut tries) = mpsc::unbounded_channel();
    let settings = ConsumerSettings { patience: Duration::from_millis(50), ..consumer() };
    let running = Running::start(&link, &queue, settings, move |message| {
        tell.send(message.redelivered).unwrap();
        async { Settlement::Park { cause: Cause::Malformed.into(), body: None, detail: None } }
    });
    put(&link, queue.name(), "one").await;
    assert!(!told(&mut tries).await);
    assert!(told(&mut tries).await, "it came back");
    link.apply(&topology).await.unwrap();
    eventually(SOON, "the message is parked", async || {
        (link.depth(&queue.parked()).await.unwrap().ready >= 1).then_some(())
    })
    .await;
    running.stop().await;
    assert_eq!(link.depth(queue.name()).await.unwrap().ready, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_missing_is_consumed_once_it_is_there() {
    let vhosts = Vhosts::fresh().await;
    let (queue, topology) = work(&vhosts);
    let link = vhosts.link(Topology::empty(&vhosts.bridge)).await;
    let (tell, mut done) = mpsc::unbounded_channel();
    let running = Running::start(&link, &queue, consumer(), move |message| {
        tell.send(message.id).unwrap();
        async { Settlement::Done }
    });
    link.apply(&topology).await.unwrap();
    put(&link, queue.name(), "one").await;
    assert_eq!(told(&mut done).await.as_deref(), Some("one"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendors_word_counts_only_where_the_broker_vouches_for_it() {
    let vhosts = Vhosts::fresh().await;
    let nid = nidbridge::broker::Link::open(
        &vhosts.nid_link_settings("nid"),
        topology::national_id(&vhosts.settings),
        Arc::new(nidbridge::broker::Unobserved),
    );
    let nid = crate::harness::vhosts::connected(nid).await;
    let mut vendor_settings = vhosts.nid_link_settings("vendor");
    vendor_settings.url = vhosts.vendor_url();
    let nothing = Topology::empty(&vhosts.vendor);
    let vendor =
        nidbridge::broker::Link::open(&vendor_settings, nothing, Arc::new(nidbridge::broker::Unobserved));
    let vendor = crate::harness::vhosts::connected(vendor).await;

    let queue = queues::nid_replies(&vhosts.settings);
    let (tell, mut seen) = mpsc::unbounded_channel();
    let running = Running::start(&nid, &queue, consumer(), move |message| {
        tell.send((message.attempt, message.user_id.clone(), message.routing_key.clone())).unwrap();
        async move {
            match message.attempt {
                0 => Settlement::Delay { step: Delay::Next, cause: Cause::LedgerUnavailable.into() },
                _ => Settlement::Done,
            }
        }
    });
    let mut forged = super::message("one");
    forged.headers.insert(headers::ATTEMPT.into(), "40".into());
    forged.headers.insert(headers::ORIGINAL_USER.into(), "somebody".into());
    let reply = targets::nid_replies("reply.birth");
    vendor.publisher().publish(&reply, forged).await.unwrap();
    for attempt in [0, 1] {
        let expected = (attempt, Some("vendor".to_owned()), "reply.birth".to_owned());
        assert_eq!(told(&mut seen).await, expected);
    }
    running.stop().await;

    let elsewhere = targets::nid_requests("birth");
    let denied = vendor.publisher().publish(&elsewhere, super::message("two")).await;
    assert!(denied.is_err_and(|cause| !cause.may_be_stored()));
}
