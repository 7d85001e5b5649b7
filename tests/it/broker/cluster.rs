//! Faults that need a cluster of several nodes.

use nidbridge::pipeline::names;
use std::sync::Arc;
use std::time::Duration;

use nidbridge::broker::{Link, LinkSettings, Settlement, Topology, WorkQueue};
use nidbridge::sandbox::rabbitmq::Cluster;
use tokio::sync::{Semaphore, mpsc};

use super::{Running, consumer, put, told};
use crate::harness::eventually;
use crate::harness::vhosts::{connected, temporary};

/// Long, because three nodes share two cores with other tests.
const LONG: Duration = Duration::from_secs(120);

/// RabbitMQ 3.10.8: a quorum queue never redelivers the messages of a consumer that was cancelled
/// before its channel closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_of_a_draining_consumer_come_again_when_its_node_is_killed() {
    let vhosts = crate::harness::Vhosts::fresh().await;
    let queue = WorkQueue::new("story.work", &[], &[]);
    let topology = Topology::of(names::BRIDGE_VHOST, std::slice::from_ref(&queue), &vhosts.settings.limits);
    let dir = temporary("cluster");
    let mut cluster = Cluster::start(&dir, 3, std::slice::from_ref(&topology), "[].\n").await.unwrap();
    let ports = cluster.amqp_ports();
    let link = async |node: usize| {
        let url = cluster.amqp_url_by(ports[node], names::BRIDGE_VHOST);
        let settings =
            LinkSettings { publish_timeout: Duration::from_secs(20), ..LinkSettings::new("story", url) };
        connected(Link::open(&settings, topology.clone(), Arc::new(nidbridge::broker::Unobserved))).await
    };
    let (stays, goes) = (link(0).await, link(1).await);
    let (tell, mut begun) = mpsc::unbounded_channel();
    let held = Arc::new(Semaphore::new(0));
    let running = Running::start(&goes, &queue, consumer(), {
        let held = Arc::clone(&held);
        move |_| {
            let (tell, held) = (tell.clone(), Arc::clone(&held));
            async move {
                tell.send(()).unwrap();
                drop(held.acquire().await);
                Settlement::Done
            }
        }
    });
    for id in ["one", "two"] {
        put(&stays, queue.name(), id).await;
        told(&mut begun).await;
    }
    let ending = tokio::spawn(running.stop());
    // The consumer is draining, so it starts no new delivery.
    put(&stays, queue.name(), "three").await;
    cluster.kill9(1).await.unwrap();
    cluster.restart(1).await.unwrap();
    held.add_permits(2);
    ending.await.unwrap();
    eventually(LONG, "all three are there for somebody else", async || {
        (stays.depth(queue.name()).await.ok()?.ready == 3).then_some(())
    })
    .await;
    goes.close().await;
    stays.close().await;
    cluster.stop().await.unwrap();
}
