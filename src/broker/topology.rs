//! The exchanges, queues and bindings of one vhost as one value.
//!
//! Declaring, checking and printing all start from here. Every queue is a quorum queue with a length limit that
//! refuses rather than drops, and a delivery limit that is a guard against poison only: attempts are counted in a
//! header of our own. In our vhost what no binding takes goes to the `unrouted` queue; in the vendor's vhost it is
//! an error of the publisher's.
//!
//! Invariant: nothing that a stage can be given is dropped: dead letters go at-least-once to a queue of this value.

mod apply;

use std::fmt;
use std::time::Duration;

use super::names;
use super::queue::WorkQueue;

/// Looking into a parking place counts as a delivery, and the broker drops what has had too many.
const LOOKS: i64 = 1_000_000;

/// What of the configuration shapes the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologySettings {
    /// The delays of the first, second, … retry; the last one repeats.
    pub retry_steps: Vec<Duration>,
    /// The earliest write to OpenCRVS after its registration was accepted: publish timeout + confirm delay.
    pub confirm_after: Duration,
    /// How long OpenCRVS is held for an answer, where it is.
    pub waits: Vec<Duration>,
    /// How many messages a queue takes before it refuses.
    pub max_length: u64,
    /// How often a message may come back unsettled before it is parked by the broker.
    pub delivery_limit: u32,
}

/// The kinds of exchange in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Direct,
    Fanout,
    Topic,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) alternate: Option<&'static str>,
}

/// An argument's value, as both AMQP and JSON can hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    Text(String),
    Number(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) arguments: Vec<(&'static str, Argument)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) exchange: String,
    pub(super) queue: String,
    pub(super) key: String,
}

/// Everything that is to be in one vhost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    pub(super) vhost: String,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) queues: Vec<Queue>,
    pub(super) bindings: Vec<Binding>,
    pub(super) vendors: bool,
}

/// One thing on the broker that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The exchange or queue.
    pub name: String,
    /// What is wrong and what to do.
    pub fix: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.name, self.fix)
    }
}

impl Topology {
    /// Our own vhost; `systems` are the ID systems, each with a queue of requests.
    pub fn bridge(settings: &TopologySettings, systems: &[&str]) -> Self {
        let mut topology = Self::empty(names::BRIDGE_VHOST);
        topology.exchange(names::UNROUTED, Kind::Fanout, None);
        topology.queue(last_place(names::UNROUTED, settings));
        topology.bind(names::UNROUTED, names::UNROUTED, "");
        for exchange in [names::REGISTRATIONS, names::REQUESTS, names::REPLIES, names::OUTCOMES] {
            topology.exchange(exchange, Kind::Direct, Some(names::UNROUTED));
        }
        // Each front has a queue of its own on it for as long as it is connected; without any, a copy goes nowhere.
        topology.exchange(names::ANSWERS, Kind::Fanout, None);
        topology.work(names::REGISTRATIONS, names::WORK_KEY, &WorkQueue::registrations(settings), settings);
        for system in systems {
            topology.work(names::REQUESTS, system, &WorkQueue::requests(settings, system), settings);
        }
        topology.work(names::REPLIES, names::WORK_KEY, &WorkQueue::replies(settings), settings);
        topology.work(names::OUTCOMES, names::WORK_KEY, &WorkQueue::outcomes(settings), settings);
        topology
    }

    /// The vendor's vhost: the surface of the queue contract.
    pub fn national_id(settings: &TopologySettings) -> Self {
        let mut topology = Self::empty(names::NID_VHOST);
        topology.vendors = true;
        topology.exchange(names::NID_REQUESTS, Kind::Direct, None);
        topology.exchange(names::NID_REPLIES, Kind::Topic, None);
        for kind in names::NID_KINDS {
            let queue = WorkQueue::new(names::nid_requests(kind), &[], &[]);
            topology.work(names::NID_REQUESTS, kind, &queue, settings);
        }
        let replies = WorkQueue::nid_replies(settings);
        topology.work(names::NID_REPLIES, names::NID_REPLY_KEYS, &replies, settings);
        topology
    }

    /// A topology of which only some queues matter: for tools and tests.
    pub fn of(vhost: impl Into<String>, queues: &[WorkQueue], settings: &TopologySettings) -> Self {
        let mut topology = Self::empty(vhost);
        for queue in queues {
            topology.places(queue, settings);
        }
        topology
    }

    /// The same in another vhost.
    #[must_use]
    pub fn in_vhost(mut self, vhost: impl Into<String>) -> Self {
        self.vhost = vhost.into();
        self
    }

    /// The vhost it is for.
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// The names of its queues.
    pub fn queue_names(&self) -> impl Iterator<Item = &str> {
        self.queues.iter().map(|queue| queue.name.as_str())
    }

    fn empty(vhost: impl Into<String>) -> Self {
        Self {
            vhost: vhost.into(),
            exchanges: Vec::new(),
            queues: Vec::new(),
            bindings: Vec::new(),
            vendors: false,
        }
    }

    fn exchange(&mut self, name: &str, kind: Kind, alternate: Option<&'static str>) {
        self.exchanges.push(Exchange { name: name.to_owned(), kind, alternate });
    }

    fn queue(&mut self, queue: Queue) {
        self.queues.push(queue);
    }

    fn bind(&mut self, exchange: &str, queue: &str, key: &str) {
        self.bindings.push(Binding {
            exchange: exchange.to_owned(),
            queue: queue.to_owned(),
            key: key.to_owned(),
        });
    }

    fn work(&mut self, exchange: &str, key: &str, queue: &WorkQueue, settings: &TopologySettings) {
        self.places(queue, settings);
        self.bind(exchange, queue.name(), key);
    }

    fn places(&mut self, queue: &WorkQueue, settings: &TopologySettings) {
        self.queue(last_place(&queue.parked(), settings));
        self.queue(work_place(queue, settings));
        for (step, name) in queue.delays() {
            self.queue(waiting_place(&name, step, queue.name(), settings));
        }
    }
}

fn limits(settings: &TopologySettings) -> Vec<(&'static str, Argument)> {
    vec![
        ("x-queue-type", Argument::Text("quorum".to_owned())),
        ("x-max-length", Argument::Number(i64::try_from(settings.max_length).unwrap_or(i64::MAX))),
        ("x-overflow", Argument::Text("reject-publish".to_owned())),
    ]
}

/// The broker drops dead letters unless told otherwise; at-least-once also needs `reject-publish`.
fn dead_letters_to(queue: &str) -> [(&'static str, Argument); 3] {
    [
        ("x-dead-letter-exchange", Argument::Text(String::new())),
        ("x-dead-letter-routing-key", Argument::Text(queue.to_owned())),
        ("x-dead-letter-strategy", Argument::Text("at-least-once".to_owned())),
    ]
}

fn work_place(queue: &WorkQueue, settings: &TopologySettings) -> Queue {
    let mut arguments = limits(settings);
    arguments.push(("x-delivery-limit", Argument::Number(i64::from(settings.delivery_limit))));
    arguments.extend(dead_letters_to(&queue.parked()));
    Queue { name: queue.name().to_owned(), arguments }
}

fn waiting_place(name: &str, step: Duration, then: &str, settings: &TopologySettings) -> Queue {
    let mut arguments = limits(settings);
    arguments.push(("x-message-ttl", Argument::Number(i64::try_from(step.as_millis()).unwrap_or(i64::MAX))));
    arguments.extend(dead_letters_to(then));
    Queue { name: name.to_owned(), arguments }
}

fn last_place(name: &str, settings: &TopologySettings) -> Queue {
    let mut arguments = limits(settings);
    arguments.push(("x-delivery-limit", Argument::Number(LOOKS)));
    Queue { name: name.to_owned(), arguments }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::broker) fn settings() -> TopologySettings {
        TopologySettings {
            retry_steps: vec![Duration::from_secs(5), Duration::from_secs(600)],
            confirm_after: Duration::from_secs(3),
            waits: Vec::new(),
            max_length: 1_000,
            delivery_limit: 50,
        }
    }

    fn argument<'a>(queue: &'a Queue, name: &str) -> Option<&'a Argument> {
        queue.arguments.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    #[test]
    fn every_dead_letter_goes_to_a_queue_of_the_same_value_and_none_is_dropped() {
        for topology in [Topology::bridge(&settings(), &["amqp"]), Topology::national_id(&settings())] {
            for queue in &topology.queues {
                assert_eq!(argument(queue, "x-queue-type"), Some(&Argument::Text("quorum".into())));
                assert_eq!(argument(queue, "x-overflow"), Some(&Argument::Text("reject-publish".into())));
                match argument(queue, "x-dead-letter-routing-key") {
                    Some(Argument::Text(then)) => {
                        assert!(topology.queue_names().any(|name| name == then), "{then}");
                        let strategy = argument(queue, "x-dead-letter-strategy");
                        assert_eq!(strategy, Some(&Argument::Text("at-least-once".into())));
                    }
                    _ => assert_eq!(argument(queue, "x-delivery-limit"), Some(&Argument::Number(LOOKS))),
                }
            }
        }
    }

    #[test]
    fn only_outcomes_can_wait_for_the_earliest_write() {
        let bridge = Topology::bridge(&settings(), &["amqp"]);
        let waits: Vec<_> = bridge.queue_names().filter(|name| name.ends_with(".wait.3s")).collect();
        assert_eq!(waits, ["outcomes.work.wait.3s"]);
    }

    #[test]
    fn every_binding_joins_what_is_declared() {
        for topology in
            [Topology::bridge(&settings(), &["amqp", "mosip"]), Topology::national_id(&settings())]
        {
            for binding in &topology.bindings {
                assert!(topology.exchanges.iter().any(|exchange| exchange.name == binding.exchange));
                assert!(topology.queue_names().any(|name| name == binding.queue));
            }
        }
    }
}
