//! A look into queues, for operators and tests.
//!
//! Invariant: looking takes nothing out of a queue; taking is explicit and says so.

use jiff::Timestamp;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};

use super::connection::within;
use super::delivery::Incoming;
use super::error::BrokerError;
use super::link::Link;
use super::short::short;

/// What is in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that nobody holds.
    pub ready: u32,
    /// Consumers of the queue.
    pub consumers: u32,
}

impl Link {
    /// How many messages and consumers a queue has.
    ///
    /// # Errors
    /// [`BrokerError`] when the broker is away or has no such queue.
    pub async fn depth(&self, queue: &str) -> Result<Depth, BrokerError> {
        within(async {
            let channel = self.wire()?.connection.create_channel().await?;
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let found = channel
                .queue_declare(short(queue, "the queue's name")?, options, FieldTable::default())
                .await?;
            channel.close(200, ShortString::default()).await?;
            Ok(Depth { ready: found.message_count(), consumers: found.consumer_count() })
        })
        .await
    }

    /// Reads up to `most` messages from the front of a queue and leaves them there.
    ///
    /// A look counts as a delivery: meant for parking places, not for queues that a stage works off.
    ///
    /// # Errors
    /// As [`Link::depth`].
    pub async fn peek(&self, queue: &str, most: usize) -> Result<Vec<Incoming>, BrokerError> {
        self.look(queue, most, |message| message).await
    }

    /// The same where only something of each message is kept: many large ones are never in memory together.
    ///
    /// # Errors
    /// As [`Link::depth`].
    pub async fn look<T>(
        &self,
        queue: &str,
        most: usize,
        mut keep: impl FnMut(Incoming) -> T,
    ) -> Result<Vec<T>, BrokerError> {
        let wire = self.wire()?;
        let channel = within(async { Ok(wire.connection.create_channel().await?) }).await?;
        let mut seen = Vec::new();
        // Each answer has its own time: how long all of it takes depends on how much there is.
        while seen.len() < most {
            let get = async {
                Ok(channel.basic_get(short(queue, "the queue's name")?, BasicGetOptions::default()).await?)
            };
            let Some(mut got) = within(get).await? else { break };
            seen.push(keep(Incoming::read(&mut got.delivery, &wire.user, Timestamp::now())));
        }
        within(async { Ok(channel.close(200, ShortString::default()).await?) }).await?;
        Ok(seen)
    }

    /// Takes the first message out of a queue.
    ///
    /// # Errors
    /// As [`Link::depth`].
    pub async fn take(&self, queue: &str) -> Result<Option<Incoming>, BrokerError> {
        within(async {
            let wire = self.wire()?;
            let channel = wire.connection.create_channel().await?;
            let got =
                channel.basic_get(short(queue, "the queue's name")?, BasicGetOptions::default()).await?;
            let taken = match got {
                Some(mut got) => {
                    let message = Incoming::read(&mut got.delivery, &wire.user, Timestamp::now());
                    got.delivery.acker.ack(BasicAckOptions::default()).await?;
                    Some(message)
                }
                None => None,
            };
            channel.close(200, ShortString::default()).await?;
            Ok(taken)
        })
        .await
    }
}
