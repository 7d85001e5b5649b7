//! Sends parked messages back to work, on an operator's order.
//!
//! Invariant: a message leaves its parking queue only after the broker has confirmed it in another
//! queue. A process that dies in between leaves the message in both, so handlers must recognise
//! duplicates. A message of ours says who sent it back and why.

use bytes::Bytes;
use jiff::Timestamp;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::ShortString;
use tokio_util::sync::CancellationToken;

use super::connection::within;
use super::delivery::Incoming;
use super::error::{BrokerError, PublishError};
use super::headers;
use super::link::Link;
use super::message::{RawMessage, Target};
use super::settle::is_broker_header;
use super::short::short;

/// Headers that describe the parking, not the message.
const PARKING_HEADERS: [&str; 5] =
    [headers::CAUSE, headers::DETAIL, headers::PARKED_AT, headers::WORKER_VERSION, headers::ORIGINAL_QUEUE];

/// What to send back, and on whose order.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The parking queue.
    pub from: String,
    pub to: ReplayTo,
    /// Maximum number of messages that are read.
    pub look: usize,
    /// Maximum number of messages that are sent back.
    pub most: usize,
    /// The operator who ordered the replay.
    pub by: String,
    pub reason: String,
    /// Whether the message names the operator and the reason. `false` if somebody else than the
    /// bridge consumes it.
    pub signed: bool,
}

/// Where parked messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayTo {
    /// To this work queue.
    Queue(String),
    /// To the exchange that they were published to, with the same routing key. An alternate
    /// exchange keeps both values.
    AsPublished,
}

/// What to do with a parked message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// Send it back with this body.
    Replay(Bytes),
    /// Leave it in the parking queue.
    Leave,
}

/// The result of a replay.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Messages that were sent back to work.
    pub moved: usize,
    /// Messages that were looked at.
    pub seen: usize,
    /// Messages that no queue took this time either. They are back in the queue that they came from
    /// and do not count as moved.
    pub returned: usize,
    /// Why the replay ended early.
    pub stopped: Option<PublishError>,
}

/// Why a replay broke off, and after how many messages.
#[derive(Debug, thiserror::Error)]
#[error("the replay broke off after {moved} messages")]
pub struct ReplayFault {
    pub moved: usize,
    #[source]
    pub cause: BrokerError,
}

impl Link {
    /// Moves the messages that `pick` chooses from the front of a parking queue back to work. The
    /// other messages return to the queue unchanged when the replay ends; looking at a message
    /// counts as a delivery.
    ///
    /// # Errors
    /// [`ReplayFault`] when the broker is away or has no such queue.
    pub async fn replay(
        &self,
        replay: &Replay,
        stop: &CancellationToken,
        mut pick: impl FnMut(&Incoming) -> Pick,
    ) -> Result<Replayed, ReplayFault> {
        let (mut done, begun) = (Replayed::default(), Timestamp::now());
        match self.move_messages(replay, stop, &mut pick, &mut done).await {
            Ok(()) => {
                if replay.to == ReplayTo::AsPublished && done.moved > 0 {
                    done.returned = self.returned(replay, begun, done.moved).await;
                    done.moved -= done.returned;
                }
                Ok(done)
            }
            Err(cause) => Err(ReplayFault { moved: done.moved, cause }),
        }
    }

    /// Counts the messages that came back. A confirm says only that some queue took the message,
    /// and the queue of the alternate exchange is one of them.
    async fn returned(&self, replay: &Replay, begun: Timestamp, most: usize) -> usize {
        let since = |message: Incoming| {
            let at = message.headers.get(headers::REPLAYED_AT).and_then(|at| at.parse::<Timestamp>().ok());
            at.is_some_and(|at| at >= begun)
        };
        match self.peek_with(&replay.from, replay.look, since).await {
            Ok(there) => there.into_iter().filter(|since| *since).count().min(most),
            Err(fault) => {
                tracing::warn!(error = %fault, "whether the messages found a queue is not known: list the queue again");
                0
            }
        }
    }

    async fn move_messages(
        &self,
        replay: &Replay,
        stop: &CancellationToken,
        pick: &mut impl FnMut(&Incoming) -> Pick,
        done: &mut Replayed,
    ) -> Result<(), BrokerError> {
        // Messages that are parked during the replay, perhaps for the second time, are not part of
        // it.
        let there = usize::try_from(self.depth(&replay.from).await?.ready).unwrap_or(usize::MAX);
        let conn = self.consuming()?;
        let channel = within(async { Ok(conn.connection.create_channel().await?) }).await?;
        let from = short(&replay.from, "the queue's name")?;
        while done.seen < there.min(replay.look) && done.moved < replay.most && !stop.is_cancelled() {
            let get = channel.basic_get(from.clone(), BasicGetOptions::default());
            let Some(mut got) = within(async { Ok(get.await?) }).await? else { break };
            let message = Incoming::read(&mut got.delivery, &conn.user, Timestamp::now());
            done.seen += 1;
            // A message that is left stays unacknowledged until the channel is closed, which
            // returns it to the queue.
            let Pick::Replay(body) = pick(&message) else { continue };
            let to = match &replay.to {
                ReplayTo::Queue(queue) => Target::queue(queue),
                ReplayTo::AsPublished => {
                    Target::new(got.delivery.exchange.as_str(), got.delivery.routing_key.as_str())
                }
            };
            let raw = replayed(message, body, replay, Timestamp::now());
            if let Err(fault) = self.publisher().send(to, raw).await {
                done.stopped = Some(fault);
                break;
            }
            acknowledge(&got.delivery).await?;
            done.moved += 1;
        }
        within(async { Ok(channel.close(200, ShortString::default()).await?) }).await
    }
}

async fn acknowledge(delivery: &Delivery) -> Result<(), BrokerError> {
    let acked = within(async { Ok(delivery.acker.ack(BasicAckOptions::default()).await?) }).await?;
    if acked {
        Ok(())
    } else {
        Err(BrokerError::Away("the channel was closed before a message was removed".to_owned()))
    }
}

/// The same message with the operator's name and reason. Its retries begin again at the first delay
/// step.
fn replayed(message: Incoming, body: Bytes, replay: &Replay, now: Timestamp) -> RawMessage {
    let mut headers = message.headers;
    headers.retain(|name, _| !is_broker_header(name) && !PARKING_HEADERS.contains(&name.as_str()));
    let mut note = |name: &str, value: String| headers.insert(name.to_owned(), value);
    note(headers::ATTEMPT, "0".to_owned());
    note(headers::FIRST_SEEN, message.first_seen.to_string());
    note(headers::ORIGINAL_EXCHANGE, message.exchange);
    note(headers::ORIGINAL_KEY, message.routing_key);
    note(headers::REPLAYED_AT, now.to_string());
    if replay.signed {
        note(headers::REPLAYED_BY, replay.by.clone());
        note(headers::REPLAY_REASON, replay.reason.clone());
    }
    if let Some(user) = message.user_id {
        note(headers::ORIGINAL_USER, user);
    }
    RawMessage {
        id: message.id,
        kind: message.kind,
        content_type: message.content_type,
        correlation_id: message.correlation_id,
        headers,
        body,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_replayed_message_loses_its_parking_headers_and_names_the_operator() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let message = Incoming {
            id: Some("m".into()),
            kind: Some("k.v1".into()),
            content_type: None,
            correlation_id: None,
            user_id: Some("vendor".into()),
            headers: BTreeMap::from([
                header("traceparent", "t"),
                header("x-death", "1"),
                header(headers::CAUSE, "malformed"),
                header(headers::PARKED_AT, "then"),
            ]),
            attempt: 7,
            first_seen: Timestamp::UNIX_EPOCH,
            redelivered: true,
            exchange: "e".into(),
            routing_key: "r".into(),
            body: Bytes::from_static(b"sealed"),
        };
        let replay = Replay {
            from: "q.parked".into(),
            to: ReplayTo::Queue("q".into()),
            look: 1,
            most: 1,
            by: "ada".into(),
            reason: "mended".into(),
            signed: true,
        };
        let unsigned = Replay { signed: false, ..replay.clone() };
        let to_others =
            replayed(message.clone(), Bytes::from_static(b"body"), &unsigned, Timestamp::UNIX_EPOCH);
        assert!(!to_others.headers.values().any(|value| value == "ada" || value == "mended"));
        let raw = replayed(message, Bytes::from_static(b"body"), &replay, Timestamp::UNIX_EPOCH);
        let expected = BTreeMap::from([
            header("traceparent", "t"),
            header(headers::ATTEMPT, "0"),
            header(headers::FIRST_SEEN, "1970-01-01T00:00:00Z"),
            header(headers::ORIGINAL_EXCHANGE, "e"),
            header(headers::ORIGINAL_KEY, "r"),
            header(headers::ORIGINAL_USER, "vendor"),
            header(headers::REPLAYED_AT, "1970-01-01T00:00:00Z"),
            header(headers::REPLAYED_BY, "ada"),
            header(headers::REPLAY_REASON, "mended"),
        ]);
        assert_eq!((raw.headers, &raw.body[..]), (expected, &b"body"[..]));
    }
}
