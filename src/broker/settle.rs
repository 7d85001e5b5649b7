//! Settlements: what is done with a delivery, decided without calling the broker.
//!
//! Invariant: every settlement ends with an acknowledgement, after the message that takes the place
//! of the delivery is confirmed. No delivery returns to its queue by a negative acknowledgement.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::delivery::Incoming;
use super::headers;
use super::message::{RawMessage, Target};
use super::queue::{Delay, WorkQueue};

/// Why a message was delayed or parked: one of a bounded set of labels, for the `x-cause` header
/// and for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause(&'static str);

impl Cause {
    /// The handler panicked or did not finish in time.
    pub const INTERNAL: Self = Self::new("internal");

    /// The label consists of lower-case letters, digits and `_`.
    pub const fn new(label: &'static str) -> Self {
        Self(label)
    }

    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// What a handler wants done with a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Acknowledge it, because everything that follows from it is stored elsewhere.
    Done,
    /// Deliver it again later.
    Delay { step: Delay, cause: Cause },
    /// Move it to the parking queue: only an operator can help.
    Park {
        cause: Cause,
        /// Replaces the body if the original must not be stored in clear.
        body: Option<Vec<u8>>,
        /// What exactly is at fault, for operators. No personal data.
        detail: Option<String>,
    },
}

impl Settlement {
    /// The value of the label `outcome` in metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Delay { .. } => "delayed",
            Self::Park { .. } => "parked",
        }
    }

    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Done => None,
            Self::Delay { cause, .. } | Self::Park { cause, .. } => Some(*cause),
        }
    }
}

/// What a settlement needs besides the message.
pub(super) struct Context<'a> {
    pub(super) queue: &'a WorkQueue,
    /// The release of the application.
    pub(super) version: &'a str,
    pub(super) now: Timestamp,
}

/// The message to publish before the delivery is acknowledged, and its target. `None` if nothing is
/// to be published.
pub(super) fn follow_up(
    message: Incoming,
    settlement: Settlement,
    context: &Context<'_>,
) -> Option<(Target, RawMessage)> {
    let queue = context.queue;
    match settlement {
        Settlement::Done => None,
        Settlement::Delay { step, cause } => {
            let Some(waiting) = queue.pick(step, message.attempt) else {
                return Some((
                    queue.beside(queue.parks_in()),
                    parked(message, cause, Replacement::default(), context),
                ));
            };
            let attempt = message.attempt.saturating_add(1);
            Some((queue.beside(waiting), republished(message, attempt, cause)))
        }
        Settlement::Park { cause, body, detail } => {
            let replacement = Replacement { body, detail };
            Some((queue.beside(queue.parks_in()), parked(message, cause, replacement, context)))
        }
    }
}

/// The parts of a parked message that replace those of the delivery.
#[derive(Default)]
struct Replacement {
    body: Option<Vec<u8>>,
    detail: Option<String>,
}

fn parked(message: Incoming, cause: Cause, replacement: Replacement, context: &Context<'_>) -> RawMessage {
    let attempt = message.attempt;
    let mut raw = republished(message, attempt, cause);
    let mut note = |name: &str, value: String| raw.headers.insert(name.to_owned(), value);
    note(headers::PARKED_AT, context.now.to_string());
    note(headers::WORKER_VERSION, context.version.to_owned());
    note(headers::ORIGINAL_QUEUE, context.queue.name().to_owned());
    raw.headers.remove(headers::DETAIL);
    if let Some(detail) = replacement.detail {
        raw.headers.insert(headers::DETAIL.to_owned(), detail);
    }
    if let Some(body) = replacement.body {
        raw.body = Bytes::from(body);
    }
    raw
}

/// The same message, to be published by our own user. The original user, which the broker verified,
/// goes into a header.
fn republished(message: Incoming, attempt: u32, cause: Cause) -> RawMessage {
    let mut headers: BTreeMap<String, String> =
        message.headers.into_iter().filter(|(name, _)| !is_broker_header(name)).collect();
    headers.remove(headers::ORIGINAL_USER);
    let mut note = |name: &str, value: String| headers.insert(name.to_owned(), value);
    note(headers::ATTEMPT, attempt.to_string());
    note(headers::FIRST_SEEN, message.first_seen.to_string());
    note(headers::CAUSE, cause.as_str().to_owned());
    note(headers::ORIGINAL_EXCHANGE, message.exchange);
    note(headers::ORIGINAL_KEY, message.routing_key);
    if let Some(user) = message.user_id {
        note(headers::ORIGINAL_USER, user);
    }
    RawMessage {
        id: message.id,
        kind: message.kind,
        content_type: message.content_type,
        correlation_id: message.correlation_id,
        headers,
        body: message.body,
    }
}

/// Whether the header belongs to the broker: its counters, and `CC` and `BCC`, which ask for
/// further copies.
pub(super) fn is_broker_header(name: &str) -> bool {
    name == "CC"
        || name == "BCC"
        || ["x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"]
            .into_iter()
            .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queue() -> WorkQueue {
        WorkQueue::new("q", &[Duration::from_secs(5), Duration::from_secs(30)], &[])
    }

    fn message(attempt: u32) -> Incoming {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Incoming {
            id: Some("m".into()),
            kind: Some("k.v1".into()),
            content_type: None,
            correlation_id: Some("c".into()),
            user_id: Some("vendor".into()),
            headers: BTreeMap::from([
                header("traceparent", "t"),
                header("CC", "elsewhere"),
                header("x-delivery-count", "3"),
                header("x-original-user", "forged"),
            ]),
            attempt,
            first_seen: Timestamp::UNIX_EPOCH,
            redelivered: false,
            exchange: "e".into(),
            routing_key: "r".into(),
            body: Bytes::from_static(b"body"),
        }
    }

    fn settle(attempt: u32, settlement: Settlement) -> Option<(String, RawMessage)> {
        let queue = queue();
        let context = Context { queue: &queue, version: "1.2.3", now: Timestamp::UNIX_EPOCH };
        follow_up(message(attempt), settlement, &context)
            .map(|(to, raw)| (format!("{}/{}", to.exchange, to.routing_key), raw))
    }

    #[test]
    fn each_settlement_publishes_to_its_queue() {
        let delay = |step| Settlement::Delay { step, cause: Cause::new("away") };
        let park = Settlement::Park { cause: Cause::new("malformed"), body: None, detail: None };
        for (attempt, settlement, place, attempts) in [
            (0, delay(Delay::Next), "q.settle/q.wait.5s", "1"),
            (7, delay(Delay::Next), "q.settle/q.wait.30s", "8"),
            (7, delay(Delay::AtLeast(Duration::from_secs(1))), "q.settle/q.wait.5s", "8"),
            (u32::MAX, delay(Delay::Next), "q.settle/q.wait.30s", "4294967295"),
            (7, park, "q.settle/q.parked", "7"),
        ] {
            let (to, raw) = settle(attempt, settlement.clone()).unwrap();
            assert_eq!(to, place, "{settlement:?}");
            assert_eq!(raw.headers[headers::ATTEMPT], attempts, "{settlement:?}");
        }
        assert!(settle(0, Settlement::Done).is_none());
    }

    #[test]
    fn a_follow_up_names_its_origin_and_has_no_headers_of_the_broker() {
        let (_, raw) =
            settle(0, Settlement::Park { cause: Cause::new("malformed"), body: None, detail: None }).unwrap();
        for (name, value) in [
            (headers::CAUSE, "malformed"),
            (headers::ORIGINAL_EXCHANGE, "e"),
            (headers::ORIGINAL_KEY, "r"),
            (headers::ORIGINAL_QUEUE, "q"),
            (headers::ORIGINAL_USER, "vendor"),
            (headers::FIRST_SEEN, "1970-01-01T00:00:00Z"),
            ("traceparent", "t"),
        ] {
            assert_eq!(raw.headers.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!raw.headers.contains_key("CC"));
        assert!(!raw.headers.contains_key("x-delivery-count"));
        assert_eq!(&raw.body[..], b"body");
    }

    #[test]
    fn a_parked_body_can_be_replaced_by_a_sealed_one() {
        let park = Settlement::Park {
            cause: Cause::new("malformed"),
            body: Some(b"sealed".to_vec()),
            detail: Some("status".to_owned()),
        };
        let (_, raw) = settle(0, park).unwrap();
        assert_eq!(&raw.body[..], b"sealed");
        assert_eq!(raw.headers.get(headers::DETAIL).map(String::as_str), Some("status"));
    }
}
