//! The arguments of each kind of queue.
//!
//! Invariant: no queue drops messages, except a queue of refused messages, of copies or of a lock.
//! Dead letters go at-least-once to another queue of the same topology.

use std::time::Duration;

use super::{Argument, Queue, QueueLimits};
use crate::broker::queue::WorkQueue;

/// Delivery limit of a parking queue. It is high because looking at a message counts as a delivery,
/// and beyond the limit the broker drops the message.
pub(super) const PARKED_DELIVERY_LIMIT: i64 = 1_000_000;
/// Maximum size of a queue of copies, in bytes.
const COPIES_BYTES: i64 = 1024 * 1024 * 1024;
/// Maximum size of a queue of refused messages, in bytes.
const REFUSED_BYTES: i64 = 256 * 1024 * 1024;
/// Time after which the token of a process that died while it waited for a lock is dropped. No
/// process waits as long.
const TOKEN_LIFE: Duration = Duration::from_secs(600);

fn common_arguments(limits: &QueueLimits) -> Vec<(&'static str, Argument)> {
    vec![
        ("x-queue-type", Argument::Text("quorum".to_owned())),
        ("x-max-length", Argument::Number(i64::try_from(limits.max_length).unwrap_or(i64::MAX))),
        ("x-overflow", Argument::Text("reject-publish".to_owned())),
    ]
}

/// The strategy is at-least-once, because the default strategy may lose dead letters. At-least-once
/// also needs the overflow `reject-publish`.
fn dead_letters_to(queue: &str) -> [(&'static str, Argument); 3] {
    [
        ("x-dead-letter-exchange", Argument::Text(String::new())),
        ("x-dead-letter-routing-key", Argument::Text(queue.to_owned())),
        ("x-dead-letter-strategy", Argument::Text("at-least-once".to_owned())),
    ]
}

pub(super) fn work_queue(queue: &WorkQueue, limits: &QueueLimits) -> Queue {
    let mut arguments = common_arguments(limits);
    arguments.push(("x-delivery-limit", Argument::Number(i64::from(limits.delivery_limit))));
    arguments.extend(dead_letters_to(&queue.parked()));
    Queue { name: queue.name().to_owned(), arguments }
}

pub(super) fn delay_queue(name: &str, step: Duration, then: &str, limits: &QueueLimits) -> Queue {
    let mut arguments = common_arguments(limits);
    arguments.push(time_to_live(step));
    arguments.extend(dead_letters_to(then));
    Queue { name: name.to_owned(), arguments }
}

pub(super) fn parking_queue(name: &str, limits: &QueueLimits) -> Queue {
    let mut arguments = common_arguments(limits);
    arguments.push(("x-delivery-limit", Argument::Number(PARKED_DELIVERY_LIMIT)));
    Queue { name: name.to_owned(), arguments }
}

/// A queue that drops its oldest message at its limits.
fn ring(name: &str, bytes: i64, limits: &QueueLimits) -> Queue {
    let arguments = vec![
        ("x-queue-type", Argument::Text("quorum".to_owned())),
        ("x-max-length", Argument::Number(i64::try_from(limits.max_length).unwrap_or(i64::MAX))),
        ("x-max-length-bytes", Argument::Number(bytes)),
        ("x-overflow", Argument::Text("drop-head".to_owned())),
        ("x-delivery-limit", Argument::Number(PARKED_DELIVERY_LIMIT)),
    ];
    Queue { name: name.to_owned(), arguments }
}

pub(super) fn refused_queue(name: &str, limits: &QueueLimits) -> Queue {
    ring(name, REFUSED_BYTES, limits)
}

pub(super) fn copy_queue(name: &str, keep: Duration, limits: &QueueLimits) -> Queue {
    let mut queue = ring(name, COPIES_BYTES, limits);
    queue.arguments.push(time_to_live(keep));
    queue
}

pub(super) fn lock_queue(name: &str, limits: &QueueLimits) -> Queue {
    let mut arguments = common_arguments(limits);
    arguments.push(("x-delivery-limit", Argument::Number(PARKED_DELIVERY_LIMIT)));
    arguments.push(("x-single-active-consumer", Argument::Flag(true)));
    arguments.push(time_to_live(TOKEN_LIFE));
    Queue { name: name.to_owned(), arguments }
}

fn time_to_live(life: Duration) -> (&'static str, Argument) {
    ("x-message-ttl", Argument::Number(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)))
}
