//! What becomes of a delivery, decided without touching the broker.
//!
//! Invariant: every settlement ends in an acknowledgement that comes after the confirm of whatever took the
//! message's place; nothing is ever put back by a negative acknowledgement.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::delivery::Incoming;
use super::message::{Letter, Target};
use super::names;
use super::queue::{Delay, WorkQueue};
use crate::domain::Cause;

/// What a stage wants done with the message it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It is done, and what follows from it is stored elsewhere.
    Done,
    /// Try again later.
    Delay {
        /// How much later.
        step: Delay,
        /// Why.
        cause: Cause,
    },
    /// Only an operator can help.
    Park {
        /// Why.
        cause: Cause,
        /// Takes the place of the body, for one that must not rest in clear.
        body: Option<Vec<u8>>,
    },
}

impl Settlement {
    /// The outcome's name in metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Delay { .. } => "delayed",
            Self::Park { .. } => "parked",
        }
    }
}

/// What is published, and where to, before the delivery is acknowledged.
pub(super) fn follow_up(
    message: Incoming,
    settlement: Settlement,
    queue: &WorkQueue,
    now: Timestamp,
) -> Option<(Target, Letter)> {
    match settlement {
        Settlement::Done => None,
        Settlement::Delay { step, cause } => {
            let Some(waiting) = queue.pick(step, message.attempt) else {
                return Some((Target::queue(queue.parked()), parked(message, cause, None, queue, now)));
            };
            let attempt = message.attempt.saturating_add(1);
            Some((Target::queue(waiting), letter(message, attempt, cause)))
        }
        Settlement::Park { cause, body } => {
            Some((Target::queue(queue.parked()), parked(message, cause, body, queue, now)))
        }
    }
}

fn parked(
    message: Incoming,
    cause: Cause,
    body: Option<Vec<u8>>,
    queue: &WorkQueue,
    now: Timestamp,
) -> Letter {
    let attempt = message.attempt;
    let mut letter = letter(message, attempt, cause);
    let mut note = |name: &str, value: String| letter.headers.insert(name.to_owned(), value);
    note(names::PARKED_AT, now.to_string());
    note(names::WORKER_VERSION, env!("CARGO_PKG_VERSION").to_owned());
    note(names::ORIGINAL_QUEUE, queue.name().to_owned());
    if let Some(body) = body {
        letter.body = Bytes::from(body);
    }
    letter
}

/// The same message under our own user, so the one the broker vouched for goes into a header.
fn letter(message: Incoming, attempt: u32, cause: Cause) -> Letter {
    let mut headers: BTreeMap<String, String> =
        message.headers.into_iter().filter(|(name, _)| !is_the_brokers(name)).collect();
    headers.remove(names::ORIGINAL_USER);
    let mut note = |name: &str, value: String| headers.insert(name.to_owned(), value);
    note(names::ATTEMPT, attempt.to_string());
    note(names::FIRST_SEEN, message.first_seen.to_string());
    note(names::CAUSE, cause.as_str().to_owned());
    note(names::ORIGINAL_EXCHANGE, message.exchange);
    note(names::ORIGINAL_KEY, message.routing_key);
    if let Some(user) = message.user_id {
        note(names::ORIGINAL_USER, user);
    }
    Letter {
        id: message.id,
        kind: message.kind,
        content_type: message.content_type,
        correlation_id: message.correlation_id,
        headers,
        body: message.body,
    }
}

/// Headers in which the broker counts, or by which a publisher asks it for further copies.
fn is_the_brokers(name: &str) -> bool {
    name == "CC"
        || name == "BCC"
        || ["x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"]
            .into_iter()
            .any(|prefix| name.starts_with(prefix))
}
