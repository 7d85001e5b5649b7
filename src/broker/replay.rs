//! Parked messages go back to work, when an operator says so.
//!
//! Invariant: a message is taken out of its parking place only when the broker has confirmed it in a queue; a
//! process that dies in between leaves it in both, and every stage takes a duplicate for what it is. Who sent it back
//! and why travels with it.

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
use super::message::{Letter, Target};
use super::settle::is_the_brokers;
use super::short::short;

/// Headers that say how a message was parked, and not what it is.
const OF_THE_PARKING: [&str; 4] =
    [headers::CAUSE, headers::PARKED_AT, headers::WORKER_VERSION, headers::ORIGINAL_QUEUE];

/// From where to where, how many, and in whose name.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The parking place.
    pub from: String,
    /// Where to.
    pub to: Back,
    /// Messages that are looked at, at most.
    pub look: usize,
    /// Messages that go back, at most.
    pub most: usize,
    /// Who sends them back.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// The way back to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Back {
    /// Straight to this work queue.
    Queue(String),
    /// To the exchange and the routing key that it was published with: an alternate exchange passes on both.
    AsPublished,
}

/// What is to become of a parked message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// It goes back to work, with this body.
    Replay(Bytes),
    /// It stays where it is.
    Leave,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Messages that went back to work.
    pub moved: usize,
    /// Messages that were looked at.
    pub seen: usize,
    /// Messages that no queue has taken this time either; they are where they were, and not counted as moved.
    pub returned: usize,
    /// Why it ended before its time.
    pub stopped: Option<PublishError>,
}

/// Why nothing (more) could be sent back.
#[derive(Debug, thiserror::Error)]
#[error("{moved} went back to work before it broke off")]
pub struct ReplayFault {
    /// Messages that went back to work until then.
    pub moved: usize,
    /// What broke off.
    #[source]
    pub cause: BrokerError,
}

impl Link {
    /// Moves what is picked from the front of a parking place back to work. What stays is put back as it was, when
    /// all is done; each look counts as a delivery.
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
        match self.turn(replay, stop, &mut pick, &mut done).await {
            Ok(()) => {
                if replay.to == Back::AsPublished && done.moved > 0 {
                    done.returned = self.returned(replay, begun, done.moved).await;
                    done.moved -= done.returned;
                }
                Ok(done)
            }
            Err(cause) => Err(ReplayFault { moved: done.moved, cause }),
        }
    }

    /// An alternate exchange takes what no queue takes, so that the broker's confirm does not tell the one from the other.
    async fn returned(&self, replay: &Replay, begun: Timestamp, most: usize) -> usize {
        let since = |message: Incoming| {
            let at = message.headers.get(headers::REPLAYED_AT).and_then(|at| at.parse::<Timestamp>().ok());
            at.is_some_and(|at| at >= begun)
        };
        match self.look(&replay.from, replay.look, since).await {
            Ok(there) => there.into_iter().filter(|since| *since).count().min(most),
            Err(fault) => {
                tracing::warn!(error = %fault, "it is not known whether queues have taken what was sent back");
                0
            }
        }
    }

    async fn turn(
        &self,
        replay: &Replay,
        stop: &CancellationToken,
        pick: &mut impl FnMut(&Incoming) -> Pick,
        done: &mut Replayed,
    ) -> Result<(), BrokerError> {
        // What is parked again meanwhile, perhaps one of these, is not for this turn.
        let there = usize::try_from(self.depth(&replay.from).await?.ready).unwrap_or(usize::MAX);
        let wire = self.wire()?;
        let channel = within(async { Ok(wire.connection.create_channel().await?) }).await?;
        let from = short(&replay.from, "the queue's name")?;
        while done.seen < there.min(replay.look) && done.moved < replay.most && !stop.is_cancelled() {
            let get = channel.basic_get(from.clone(), BasicGetOptions::default());
            let Some(mut got) = within(async { Ok(get.await?) }).await? else { break };
            let message = Incoming::read(&mut got.delivery, &wire.user, Timestamp::now());
            done.seen += 1;
            // Held until the channel is closed, which puts it back.
            let Pick::Replay(body) = pick(&message) else { continue };
            let to = match &replay.to {
                Back::Queue(queue) => Target::queue(queue),
                Back::AsPublished => {
                    Target::new(got.delivery.exchange.as_str(), got.delivery.routing_key.as_str())
                }
            };
            let letter = again(message, body, replay, Timestamp::now());
            if let Err(fault) = self.publisher().send(to, letter).await {
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
        Err(BrokerError::Away("the channel ended before a message was taken out".to_owned()))
    }
}

/// The same message, tried anew from the first delay step, with a trace of who sent it back.
fn again(message: Incoming, body: Bytes, replay: &Replay, now: Timestamp) -> Letter {
    let mut headers = message.headers;
    headers.retain(|name, _| !is_the_brokers(name) && !OF_THE_PARKING.contains(&name.as_str()));
    let mut note = |name: &str, value: String| headers.insert(name.to_owned(), value);
    note(headers::ATTEMPT, "0".to_owned());
    note(headers::FIRST_SEEN, message.first_seen.to_string());
    note(headers::ORIGINAL_EXCHANGE, message.exchange);
    note(headers::ORIGINAL_KEY, message.routing_key);
    note(headers::REPLAYED_AT, now.to_string());
    note(headers::REPLAYED_BY, replay.by.clone());
    note(headers::REPLAY_REASON, replay.reason.clone());
    if let Some(user) = message.user_id {
        note(headers::ORIGINAL_USER, user);
    }
    Letter {
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
    fn what_goes_back_is_what_came_less_its_parking_and_says_who_sent_it() {
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
            to: Back::Queue("q".into()),
            look: 1,
            most: 1,
            by: "ada".into(),
            reason: "mended".into(),
        };
        let letter = again(message, Bytes::from_static(b"body"), &replay, Timestamp::UNIX_EPOCH);
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
        assert_eq!((letter.headers, &letter.body[..]), (expected, &b"body"[..]));
    }
}
