//! Watches the parking queues and raises alerts for messages that were parked because they could
//! not be recorded.
//!
//! An attempt that is in the ledger is parked there, and its alert is written in the same
//! transaction. A message without an attempt in the ledger is parked on the broker, by a stage or
//! by the broker itself (delivery limit reached, or no queue for the message). The broker tells no
//! process about this, so the watcher polls the parking queues. A parked message stays until an
//! operator removes it, so nothing is lost if a process dies between parking and alerting, and no
//! settlement waits for a webhook. Each poll raises at most one alert per queue and cause, however
//! many bad messages a vendor sends. The alerts go through the same outbox as all others.
//!
//! Invariant: growth of a queue is reported by the next poll that sees the whole queue, and is
//! never reported twice, not even when an operator browses the queue, which hides its messages for
//! a moment. The watcher removes no message.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::broker::{Incoming, Link};
use crate::ledger::{Ledger, Parked};
use crate::pipeline::elected::{
    ElectedTask, Election, Halt, Leadership, OnStop, Report, TurnEnd, run_elected,
};
use crate::pipeline::{own_id, parked_detail, parked_for};

/// Name of the lease that elects the watching process.
const LEASE: &str = "parking";
/// The lease lasts two intervals and this much longer. One poll takes less time than this.
const LEASE_FLOOR: Duration = Duration::from_secs(5);
/// Limit of the messages that are read, from the head of a queue. If the queue is longer, the alert
/// has the cause of the last message that was read.
const MAX_READ: u32 = 200;

/// The parking queues of a vhost.
pub struct ParkingQueues {
    pub link: Link,
    pub queues: Vec<String>,
}

/// Watches parking queues. Of all workers that sweep, one at a time does this.
pub struct ParkingWatcher {
    pub ledger: Ledger,
    pub vhosts: Vec<ParkingQueues>,
    /// Time between two polls.
    pub interval: Duration,
}

/// Queues that had fewer messages at the last poll than were reported, with their depth at that
/// poll.
type Shrunk = BTreeMap<String, u64>;

/// The watcher in one process, with what it remembers from one turn to the next.
struct Looks<'a> {
    watcher: &'a ParkingWatcher,
    shrunk: Shrunk,
}

impl ElectedTask for Looks<'_> {
    async fn turn(&mut self, _leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        for ParkingQueues { link, queues } in &self.watcher.vhosts {
            for queue in queues {
                self.watcher.look_at(link, queue, &mut self.shrunk).await?;
            }
        }
        Ok(())
    }

    fn ended(&mut self, end: TurnEnd) {
        if end == TurnEnd::Elsewhere {
            self.shrunk.clear();
        }
    }
}

impl ParkingWatcher {
    /// Name in logs.
    pub const NAME: &'static str = "parking";

    /// Watches until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let election = Election {
            stage: Self::NAME,
            lease: LEASE,
            ttl: LEASE_FLOOR + self.interval * 2,
            interval: self.interval,
            on_stop: OnStop::FinishStep,
            report: Report::FirstFailure,
        };
        let mut looks = Looks { watcher: self, shrunk: Shrunk::new() };
        run_elected(&mut looks, &self.ledger, election, stop).await;
    }

    async fn look_at(&self, link: &Link, queue: &str, shrunk: &mut Shrunk) -> Result<(), Halt> {
        let now = u64::from(link.depth(queue).await?.ready);
        let reported = self.ledger.parked_reported(queue).await?;
        let before = shrunk.remove(queue);
        match now.cmp(&reported) {
            Ordering::Less => match before {
                Some(before) => {
                    self.ledger.report_parked(queue, reported, now.max(before), &[]).await?;
                }
                // Perhaps somebody is browsing the queue and hides messages from this process. A
                // second poll decides.
                None => {
                    shrunk.insert(queue.to_owned(), now);
                }
            },
            Ordering::Equal => {}
            Ordering::Greater => self.report_new(link, queue, reported, now).await?,
        }
        Ok(())
    }

    /// Raises alerts for the messages of a queue after the first `reported` ones.
    async fn report_new(&self, link: &Link, queue: &str, reported: u64, now: u64) -> Result<(), Halt> {
        let read_one = |message: Incoming| Parked {
            cause: parked_for(&message, queue),
            message: own_id(&message).map(str::to_owned),
            detail: parked_detail(&message),
        };
        let read = link.peek_with(queue, usize::try_from(MAX_READ).unwrap_or(usize::MAX), read_one).await?;
        let length = u64::try_from(read.len()).unwrap_or(u64::MAX);
        let now = now.max(length);
        // Somebody else holds some of the messages. A later poll finds all of them.
        if length < now.min(u64::from(MAX_READ)) {
            return Ok(());
        }
        let parked = newest_of_each_cause(read, reported);
        if self.ledger.report_parked(queue, reported, now, &parked).await? {
            let causes: Vec<_> = parked.iter().map(|one| one.cause.as_str()).collect();
            tracing::error!(
                stage = Self::NAME,
                queue,
                messages = now,
                new = now - reported,
                ?causes,
                "messages are parked: see `nidbridge queue list`"
            );
        }
        Ok(())
    }
}

/// The newest message of each cause, ignoring the first `reported` messages. The last message is
/// never ignored.
fn newest_of_each_cause(read: Vec<Parked>, reported: u64) -> Vec<Parked> {
    let old = usize::try_from(reported).unwrap_or(usize::MAX).min(read.len().saturating_sub(1));
    let newest: BTreeMap<_, _> = read.into_iter().skip(old).map(|one| (one.cause.as_str(), one)).collect();
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Cause;

    #[test]
    fn the_newest_of_each_cause_is_reported_and_of_a_queue_too_long_the_last_that_was_read() {
        let parked = |cause, id: &str| Parked { cause, message: Some(id.to_owned()), detail: None };
        let read = vec![
            parked(Cause::Unsealable, "1"),
            parked(Cause::Malformed, "2"),
            parked(Cause::Malformed, "3"),
            parked(Cause::DeliveryLimit, "4"),
        ];
        let reported = |before| {
            let new = newest_of_each_cause(read.clone(), before);
            new.into_iter().filter_map(|one| one.message).collect::<Vec<_>>().join(" ")
        };
        assert_eq!([reported(0), reported(2), reported(3), reported(900)], ["4 3 1", "4 3", "4", "4"]);
    }
}
