//! Messages to publish, and their targets.
//!
//! Invariant: every message is persistent and mandatory. Without either of the two, the broker
//! could confirm a message and then lose it.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::error::NotSent;
use super::short::short;

const PERSISTENT: u8 = 2;

/// Where a message is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Empty for the default exchange, whose routing key is the name of a queue.
    pub exchange: String,
    pub routing_key: String,
}

impl Target {
    pub fn new(exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        Self { exchange: exchange.into(), routing_key: routing_key.into() }
    }

    /// The target for a queue, which the default exchange finds by its name.
    pub fn queue(queue: impl Into<String>) -> Self {
        Self::new("", queue)
    }
}

/// A message to publish.
#[derive(Clone)]
pub struct Outgoing {
    /// AMQP `message_id`. A repeat of a message has the same id.
    pub id: String,
    /// AMQP `type`.
    pub kind: &'static str,
    /// AMQP `content_type`.
    pub content_type: &'static str,
    /// AMQP `correlation_id`.
    pub correlation_id: Option<String>,
    /// Further headers. Publishing adds the trace context.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A message with the properties of AMQP: a new message, or a delivery that is published again.
#[derive(Clone)]
pub(super) struct RawMessage {
    pub(super) id: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) correlation_id: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
}

impl From<Outgoing> for RawMessage {
    fn from(message: Outgoing) -> Self {
        Self {
            id: Some(message.id),
            kind: Some(message.kind.to_owned()),
            content_type: Some(message.content_type.to_owned()),
            correlation_id: message.correlation_id,
            headers: message.headers,
            body: Bytes::from(message.body),
        }
    }
}

impl RawMessage {
    /// `user` is the user of the connection: the broker refuses any other.
    pub(super) fn properties(
        &self,
        app: &str,
        user: Option<&str>,
        now: Timestamp,
    ) -> Result<BasicProperties, NotSent> {
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_app_id(short(app, "the application's name")?)
            .with_timestamp(u64::try_from(now.as_second()).unwrap_or_default());
        if let Some(id) = &self.id {
            properties = properties.with_message_id(short(id, "the message id")?);
        }
        if let Some(kind) = &self.kind {
            properties = properties.with_type(short(kind, "the message type")?);
        }
        if let Some(content_type) = &self.content_type {
            properties = properties.with_content_type(short(content_type, "the content type")?);
        }
        if let Some(correlation) = &self.correlation_id {
            properties = properties.with_correlation_id(short(correlation, "the correlation id")?);
        }
        if let Some(user) = user {
            properties = properties.with_user_id(short(user, "the user's name")?);
        }
        let mut table = FieldTable::default();
        for (name, value) in &self.headers {
            table.insert(short(name, "a header's name")?, AMQPValue::LongString(value.as_bytes().into()));
        }
        Ok(properties.with_headers(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_a_restart_of_the_broker() {
        let raw = RawMessage {
            id: None,
            kind: None,
            content_type: None,
            correlation_id: None,
            headers: BTreeMap::new(),
            body: Bytes::new(),
        };
        let properties = raw.properties("bridge", None, Timestamp::UNIX_EPOCH).unwrap();
        // AMQP 0-9-1, basic.delivery-mode: 1 is non-persistent, 2 is persistent.
        assert_eq!(properties.delivery_mode(), &Some(2));
    }
}
