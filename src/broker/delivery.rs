//! Deliveries, and the handlers that get them.
//!
//! Invariant: only those parts of a delivery are trusted that the broker verifies. The headers
//! about the original message are used only if we published the message ourselves.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};

use super::headers;
use super::own_id::is_own;
use super::settle::{Cause, Settlement};

/// Limit of all headers together, in bytes. When a message is delayed, its headers and ours must
/// fit into one frame, because a frame that is too large closes the connection.
const MOST_HEADERS: usize = 16 * 1024;
/// Limit of one header, in bytes. Every useful header is far shorter.
const LONGEST_HEADER: usize = 1024;
const TRACE: &str = "traceparent";

/// A message as a handler gets it.
#[derive(Clone)]
pub struct Incoming {
    /// AMQP `message_id`.
    pub id: Option<String>,
    /// AMQP `type`.
    pub kind: Option<String>,
    /// AMQP `content_type`.
    pub content_type: Option<String>,
    /// AMQP `correlation_id`.
    pub correlation_id: Option<String>,
    /// The user that published the message, verified by the broker. It stays the same when the
    /// message is delayed.
    pub user_id: Option<String>,
    /// The headers whose value is a text, an integer, a time or a boolean. A header that is too
    /// long is left out. If there are too many, ours and those of the trace context are kept first.
    pub headers: BTreeMap<String, String>,
    /// How often the message was delayed before.
    pub attempt: u32,
    /// When the message was first received.
    pub first_seen: Timestamp,
    /// Whether the broker delivered the message before without getting an acknowledgement.
    pub redelivered: bool,
    /// The exchange that the message was first published to.
    pub exchange: String,
    /// The routing key that the message was first published with.
    pub routing_key: String,
    pub body: Bytes,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("id", &self.own_id())
            .field("attempt", &self.attempt)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Handles the messages of a queue.
pub trait Handler: Send + Sync + 'static {
    /// The name of the stage in spans, logs and metrics.
    const NAME: &'static str;

    /// Handles one message. The same message may come more than once.
    fn handle(&self, message: Incoming) -> impl Future<Output = Settlement> + Send;

    /// Called before the message is delayed: it comes again after `after`. Does nothing by default.
    fn delayed(
        &self,
        _message: &Incoming,
        _cause: Cause,
        _after: Duration,
    ) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

impl Incoming {
    /// The message id, if it is one of ours. Any other may hold a person's name, and must not reach
    /// an output.
    pub fn own_id(&self) -> Option<&str> {
        self.id.as_deref().filter(|id| is_own(id))
    }

    /// Takes the content out of a delivery and leaves what is needed to settle it. `us` is the user
    /// of this connection.
    pub(super) fn read(delivery: &mut Delivery, us: &str, now: Timestamp) -> Self {
        let properties = &delivery.properties;
        let headers = properties.headers().as_ref().map(readable).unwrap_or_default();
        let user = properties.user_id().as_ref().map(ToString::to_string);
        let ours = user.as_deref() == Some(us);
        let original = |name| if ours { headers.get(name).cloned() } else { None };
        Self {
            id: properties.message_id().as_ref().map(ToString::to_string),
            kind: properties.kind().as_ref().map(ToString::to_string),
            content_type: properties.content_type().as_ref().map(ToString::to_string),
            correlation_id: properties.correlation_id().as_ref().map(ToString::to_string),
            exchange: original(headers::ORIGINAL_EXCHANGE).unwrap_or_else(|| delivery.exchange.to_string()),
            routing_key: original(headers::ORIGINAL_KEY).unwrap_or_else(|| delivery.routing_key.to_string()),
            attempt: original(headers::ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or_default(),
            first_seen: original(headers::FIRST_SEEN).and_then(|text| moment(&text)).unwrap_or(now),
            user_id: original(headers::ORIGINAL_USER).or(user),
            redelivered: delivery.redelivered,
            headers,
            body: Bytes::from(std::mem::take(&mut delivery.data)),
        }
    }
}

fn readable(table: &FieldTable) -> BTreeMap<String, String> {
    let needed = |name: &str| headers::KEPT.contains(&name) || name == TRACE;
    let (first, rest): (Vec<_>, Vec<_>) = table.into_iter().partition(|(name, _)| needed(name.as_str()));
    let mut left = MOST_HEADERS;
    let mut fits = |name: &str, text: &str| {
        let size = name.len() + text.len();
        let room = left.checked_sub(size).filter(|_| size <= LONGEST_HEADER);
        left = room.unwrap_or(left);
        room.is_some()
    };
    first
        .into_iter()
        .chain(rest)
        .filter_map(|(name, value)| Some((name.to_string(), text(value)?)))
        .filter(|(name, text)| fits(name, text))
        .collect()
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| Timestamp::from_millisecond(text.parse().ok()?).ok())
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        AMQPValue::Boolean(value) => Some(value.to_string()),
        AMQPValue::ShortShortInt(value) => Some(value.to_string()),
        AMQPValue::ShortShortUInt(value) => Some(value.to_string()),
        AMQPValue::ShortInt(value) => Some(value.to_string()),
        AMQPValue::ShortUInt(value) => Some(value.to_string()),
        AMQPValue::LongInt(value) => Some(value.to_string()),
        AMQPValue::LongUInt(value) => Some(value.to_string()),
        AMQPValue::LongLongInt(value) => Some(value.to_string()),
        AMQPValue::Timestamp(value) => Some(value.to_string()),
        AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => None,
    }
}
