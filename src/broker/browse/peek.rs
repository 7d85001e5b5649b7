//! Reads messages of a queue and returns them to it.
//!
//! Invariant: when a read has ended, the messages are in the queue again. Whoever reads the queue
//! next sees them.

use std::time::Duration;

use jiff::Timestamp;
use lapin::Channel;
use lapin::options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::time::{Instant, sleep};

use crate::broker::connection::within;
use crate::broker::delivery::Incoming;
use crate::broker::error::BrokerError;
use crate::broker::link::Link;
use crate::broker::short::short;

/// Longest wait until the queue counts the returned messages again. It is a limit because somebody
/// else may take the messages out meanwhile.
const RETURNED: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The last message that was read.
struct Last {
    delivery_tag: u64,
    /// Messages behind it in the queue.
    behind: u32,
}

impl Link {
    /// Reads up to `limit` messages from the front of a queue and leaves them there.
    ///
    /// Each read counts as a delivery of the message, so call this for parking queues and not for
    /// queues that have a consumer.
    ///
    /// # Errors
    /// The same as for [`Link::depth`].
    pub async fn peek(&self, queue: &str, limit: usize) -> Result<Vec<Incoming>, BrokerError> {
        self.peek_with(queue, limit, |message| message).await
    }

    /// Like [`Link::peek`], but keeps only what `keep` returns for each message, so that large
    /// messages are not in memory together.
    ///
    /// # Errors
    /// The same as for [`Link::depth`].
    pub async fn peek_with<T>(
        &self,
        queue: &str,
        limit: usize,
        mut keep: impl FnMut(Incoming) -> T,
    ) -> Result<Vec<T>, BrokerError> {
        let conn = self.consuming()?;
        let name = short(queue, "the queue's name")?;
        let channel = within(async { Ok(conn.connection.create_channel().await?) }).await?;
        let (mut seen, mut last) = (Vec::new(), None);
        // Each answer has its own time limit, because the total time depends on the number of
        // messages.
        while seen.len() < limit {
            let get = async { Ok(channel.basic_get(name.clone(), BasicGetOptions::default()).await?) };
            let Some(mut got) = within(get).await? else { break };
            last = Some(Last { delivery_tag: got.delivery.delivery_tag, behind: got.message_count });
            seen.push(keep(Incoming::read(&mut got.delivery, &conn.user, Timestamp::now())));
        }
        if let Some(last) = last {
            put_back(&channel, &name, &last, seen.len()).await?;
        }
        within(async { Ok(channel.close(200, ShortString::default()).await?) }).await?;
        Ok(seen)
    }
}

/// Returns every message that the channel holds, and waits until the queue has them again. RabbitMQ
/// does not answer to `basic.nack`, and returns the messages some time after it has closed a
/// channel, so the queue is counted.
async fn put_back(
    channel: &Channel,
    queue: &ShortString,
    last: &Last,
    count: usize,
) -> Result<(), BrokerError> {
    let all = BasicNackOptions { multiple: true, requeue: true };
    within(async { Ok(channel.basic_nack(last.delivery_tag, all).await?) }).await?;
    let expected = last.behind.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    let until = Instant::now() + RETURNED;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    while Instant::now() < until {
        let declared = channel.queue_declare(queue.clone(), passive, FieldTable::default());
        let found = within(async { Ok(declared.await?) }).await?;
        if found.message_count() >= expected {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
