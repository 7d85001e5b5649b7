//! What is declared in our vhost and in the vendor's.
//!
//! In our vhost, messages that no binding takes go to the queue `unrouted`; in the vendor's vhost,
//! publishing such a message is an error for its publisher.
//!
//! Invariant: every queue that a stage reads or publishes to is declared here.

use std::time::Duration;

use super::names;
use super::queues::{self, TopologySettings};
use crate::broker::{ExchangeKind, Topology, WorkQueue};

const HOW_TO_APPLY: &str = "run `nidbridge topology apply`";
/// How long the copy of a request that was sent is kept. A ledger that is restored from a backup
/// may lack requests of which there is no other copy.
const KEEP_SENT: Duration = Duration::from_secs(48 * 3_600);

/// Our own vhost. `systems` are the ID systems, and each has its own queue of requests.
pub fn bridge(settings: &TopologySettings, systems: &[&str]) -> Topology {
    let mut topology = Topology::empty(names::BRIDGE_VHOST).applied_by(HOW_TO_APPLY);
    topology.add_exchange(names::UNROUTED, ExchangeKind::Fanout, None);
    topology.add_parking_queue(names::UNROUTED, &settings.limits);
    topology.bind(names::UNROUTED, names::UNROUTED, "");
    topology.add_parking_queue(names::DEPLOYMENT, &settings.limits);
    topology.add_lock_queue(names::DEPLOYMENT_LOCK, &settings.limits);
    topology.add_exchange(names::DEPLOYMENT, ExchangeKind::Direct, None);
    for queue in [names::DEPLOYMENT, names::DEPLOYMENT_LOCK] {
        topology.bind(names::DEPLOYMENT, queue, queue);
    }
    for exchange in [names::REGISTRATIONS, names::REQUESTS, names::REPLIES, names::OUTCOMES] {
        topology.add_exchange(exchange, ExchangeKind::Direct, Some(names::UNROUTED));
    }
    for system in systems {
        let copies = names::requests_sent(system);
        topology.add_copy_queue(&copies, KEEP_SENT, &settings.limits);
        topology.bind(names::REQUESTS, &copies, &names::requests_sent_key(system));
    }
    // Each connected front binds its own queue to this exchange. While no front is connected, the
    // copies are dropped.
    topology.add_exchange(names::ANSWERS, ExchangeKind::Fanout, None);
    let mut work = |exchange: &str, key: &str, queue: &WorkQueue| {
        topology.add_work_queue(queue, &settings.limits);
        topology.bind(exchange, queue.name(), key);
    };
    work(names::REGISTRATIONS, names::WORK_KEY, &queues::registrations(settings));
    for system in systems {
        work(names::REQUESTS, system, &queues::requests(settings, system));
    }
    work(names::REPLIES, names::WORK_KEY, &queues::replies(settings));
    work(names::OUTCOMES, names::WORK_KEY, &queues::outcomes(settings));
    topology
}

/// The vendor's vhost: what the queue contract promises.
pub fn national_id(settings: &TopologySettings) -> Topology {
    let mut topology = Topology::empty(names::NID_VHOST).applied_by(HOW_TO_APPLY);
    topology.add_exchange(names::NID_REQUESTS, ExchangeKind::Direct, None);
    topology.add_exchange(names::NID_REPLIES, ExchangeKind::Topic, None);
    for kind in names::NID_KINDS {
        let queue = WorkQueue::new(names::nid_requests(kind), &[], &[]);
        topology.add_work_queue(&queue, &settings.limits);
        topology.bind(names::NID_REQUESTS, queue.name(), kind);
    }
    let replies = queues::nid_replies(settings);
    topology.add_work_queue(&replies, &settings.limits);
    topology.bind(names::NID_REPLIES, replies.name(), names::NID_REPLY_KEYS);
    topology
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::broker::QueueLimits;

    pub(in crate::pipeline) fn both() -> Vec<Topology> {
        vec![bridge(&settings(), &["amqp", "mosip"]), national_id(&settings())]
    }

    fn settings() -> TopologySettings {
        TopologySettings {
            retry_steps: vec![Duration::from_secs(5), Duration::from_secs(600)],
            confirm_after: Duration::from_secs(3),
            waits: Vec::new(),
            limits: QueueLimits { max_length: 1_000, delivery_limit: 50 },
        }
    }

    #[test]
    fn only_outcomes_can_wait_for_the_earliest_write() {
        let bridge = bridge(&settings(), &["amqp"]);
        let waits: Vec<_> = bridge.queue_names().filter(|name| name.ends_with(".wait.3s")).collect();
        assert_eq!(waits, ["outcomes.work.wait.3s"]);
    }

    #[test]
    fn every_binding_joins_a_declared_exchange_and_a_declared_queue() {
        for topology in both() {
            for (exchange, queue) in topology.bound() {
                assert!(topology.exchange_names().any(|name| name == exchange), "{exchange}");
                assert!(topology.queue_names().any(|name| name == queue), "{queue}");
            }
        }
    }
}
