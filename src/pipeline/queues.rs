//! The work queues of the stages, with their delay queues.
//!
//! Invariant: the same settings give the same queues in every process; a role that reads a queue
//! and a role that publishes to one of its delay queues both get the queue from here.

use std::time::Duration;

use super::names;
use crate::broker::{QueueLimits, Subscription, WorkQueue};
use crate::config::{BrokerConfig, ConfirmConfig, Waits};

/// Maximum number of copies of answers that wait for one front. It is higher than the number of
/// callers that one front keeps waiting.
const ANSWER_COPIES: u32 = 10_000;

/// The settings that shape the queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologySettings {
    /// The delays of the first, second, … retry; the last one repeats.
    pub retry_steps: Vec<Duration>,
    /// Time from the acceptance of a registration to the earliest write to OpenCRVS, if no caller
    /// waits: publish timeout + confirm delay.
    pub confirm_after: Duration,
    /// How long callers may wait for a `SyncAnswer`: one duration for each event kind that has a
    /// wait.
    pub waits: Vec<Duration>,
    pub limits: QueueLimits,
}

impl TopologySettings {
    pub fn new(broker: &BrokerConfig, confirm: &ConfirmConfig, waits: &Waits) -> Self {
        Self {
            retry_steps: broker.retry_steps.clone(),
            confirm_after: broker.publish_timeout.saturating_add(confirm.delay),
            waits: waits.lengths().collect(),
            limits: QueueLimits { max_length: broker.max_length, delivery_limit: broker.delivery_limit },
        }
    }
}

/// front → record stage.
pub fn registrations(settings: &TopologySettings) -> WorkQueue {
    WorkQueue::new(names::REGISTRATIONS_WORK, &settings.retry_steps, &[])
}

/// record stage → send stage of one ID system.
pub fn requests(settings: &TopologySettings, system: &str) -> WorkQueue {
    WorkQueue::new(names::requests_work(system), &settings.retry_steps, &[])
}

/// Replies in our own vhost → resolve stage.
pub fn replies(settings: &TopologySettings) -> WorkQueue {
    WorkQueue::new(names::REPLIES_WORK, &settings.retry_steps, &[])
}

/// resolve stage → confirmer. Its extra delays keep an outcome until the first write to OpenCRVS is
/// allowed.
pub fn outcomes(settings: &TopologySettings) -> WorkQueue {
    let early = settings.waits.iter().map(|wait| wait.saturating_add(settings.confirm_after));
    let early: Vec<Duration> = early.chain([settings.confirm_after]).collect();
    WorkQueue::new(names::OUTCOMES_WORK, &settings.retry_steps, &early)
}

/// vendor → resolve stage, in the vendor's vhost.
pub fn nid_replies(settings: &TopologySettings) -> WorkQueue {
    WorkQueue::new(names::NID_REPLIES, &settings.retry_steps, &[]).refusing_into(names::NID_REFUSED)
}

/// resolve stage → this front: copies of answers.
pub fn answers() -> Subscription {
    Subscription { exchange: names::ANSWERS, max_length: ANSWER_COPIES }
}
