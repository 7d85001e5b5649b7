//! Inspects queues, for operators and tests.
//!
//! Invariant: only [`Link::take`] removes a message from a queue.

mod peek;

use jiff::Timestamp;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};

use super::connection::within;
use super::delivery::Incoming;
use super::error::BrokerError;
use super::link::Link;
use super::short::short;

/// The number of messages and consumers of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait for a consumer. Messages that are delivered and not yet acknowledged are
    /// not counted.
    pub ready: u32,
    pub consumers: u32,
}

impl Link {
    /// Counts the messages and consumers of a queue.
    ///
    /// # Errors
    /// [`BrokerError`] when the broker is away or has no such queue.
    pub async fn depth(&self, queue: &str) -> Result<Depth, BrokerError> {
        within(async {
            let channel = self.consuming()?.connection.create_channel().await?;
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let found = channel
                .queue_declare(short(queue, "the queue's name")?, options, FieldTable::default())
                .await?;
            channel.close(200, ShortString::default()).await?;
            Ok(Depth { ready: found.message_count(), consumers: found.consumer_count() })
        })
        .await
    }

    /// Removes the first message from a queue and returns it.
    ///
    /// # Errors
    /// The same as for [`Link::depth`].
    pub async fn take(&self, queue: &str) -> Result<Option<Incoming>, BrokerError> {
        within(async {
            let conn = self.consuming()?;
            let channel = conn.connection.create_channel().await?;
            let got =
                channel.basic_get(short(queue, "the queue's name")?, BasicGetOptions::default()).await?;
            let taken = match got {
                Some(mut got) => {
                    let message = Incoming::read(&mut got.delivery, &conn.user, Timestamp::now());
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
