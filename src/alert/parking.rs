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
//! A queue may also change without growing, for example if a message that was sent back to work is
//! parked again. `queue replay` takes what it moves off the report, so that this counts as growth.
//! For messages that were moved by other means, the newest one is compared as well, but less often,
//! because this requires reading the queue, and not in a queue that is longer than what is read.
//!
//! Invariant: growth of a queue is reported by the next poll that sees the whole queue, and is
//! never reported twice, not even when an operator browses the queue, which hides its messages for
//! a moment. The watcher removes no message.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::broker::{Incoming, Link, headers};
use crate::ledger::{Ledger, Parked, ParkingReport};
use crate::pipeline::elected::{
    ElectedTask, Election, Halt, Leadership, OnStop, Report, TurnEnd, run_elected,
};
use crate::pipeline::{parked_detail, parked_for};

/// Name of the lease that elects the watching process.
const LEASE: &str = "parking";
/// The lease lasts two intervals and this much longer. One poll takes less time than this.
const LEASE_FLOOR: Duration = Duration::from_secs(5);
/// Limit of the messages that are read, from the head of a queue. If the queue is longer, the alert
/// has the cause of the last message that was read.
const MAX_READ: u32 = 200;
/// Limit of the messages whose detail an alert names.
const MAX_DETAILS: usize = 5;
/// Number of polls after which a queue is read although it has not grown.
const POLLS_PER_READ: u32 = 20;

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

/// The polls of one process, with what it remembers from one to the next.
struct Polls<'a> {
    watcher: &'a ParkingWatcher,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    /// Queues that had fewer messages at the last poll than were reported, with their depth at that
    /// poll.
    shrunk: BTreeMap<String, u64>,
    /// When each queue was last read.
    read: BTreeMap<String, Instant>,
}

/// A message that was read in a parking queue.
#[derive(Clone)]
struct ReadMessage {
    parked: Parked,
    /// When a stage parked it. `None` if the broker did.
    at: Option<Timestamp>,
}

impl ElectedTask for Polls<'_> {
    async fn turn(&mut self, _leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        for ParkingQueues { link, queues } in &self.watcher.vhosts {
            for queue in queues {
                self.watcher.look_at(link, queue, &mut self.seen).await?;
            }
        }
        Ok(())
    }

    fn ended(&mut self, end: TurnEnd) {
        if end == TurnEnd::Elsewhere {
            self.seen = Seen::default();
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
        let mut polls = Polls { watcher: self, seen: Seen::default() };
        run_elected(&mut polls, &self.ledger, election, stop).await;
    }

    async fn look_at(&self, link: &Link, queue: &str, seen: &mut Seen) -> Result<(), Halt> {
        let now = u64::from(link.depth(queue).await?.ready);
        let reported = self.ledger.parked_reported(queue).await?;
        let before = seen.shrunk.remove(queue);
        match now.cmp(&reported.messages) {
            Ordering::Less => match before {
                Some(before) => {
                    let left = ParkingReport { messages: now.max(before), ..reported.clone() };
                    self.ledger.report_parked(queue, &reported, &left, &[]).await?;
                }
                // Perhaps somebody is browsing the queue and hides messages from this process. A
                // second poll decides.
                None => {
                    seen.shrunk.insert(queue.to_owned(), now);
                }
            },
            Ordering::Equal if now > 0 && now <= u64::from(MAX_READ) => {
                let pause = self.interval.saturating_mul(POLLS_PER_READ);
                if seen.read.get(queue).is_none_or(|last| last.elapsed() >= pause) {
                    seen.read.insert(queue.to_owned(), Instant::now());
                    self.report_new(link, queue, &reported, now).await?;
                }
            }
            Ordering::Equal => {}
            Ordering::Greater => {
                seen.read.insert(queue.to_owned(), Instant::now());
                self.report_new(link, queue, &reported, now).await?;
            }
        }
        Ok(())
    }

    /// Raises alerts for the messages of a queue that are newer than the reported ones.
    async fn report_new(
        &self,
        link: &Link,
        queue: &str,
        reported: &ParkingReport,
        now: u64,
    ) -> Result<(), Halt> {
        let read_one = |message: Incoming| ReadMessage {
            at: message.headers.get(headers::PARKED_AT).and_then(|at| at.parse().ok()),
            parked: Parked {
                cause: parked_for(&message, queue),
                message: message.own_id().map(str::to_owned),
                detail: parked_detail(&message),
            },
        };
        let read = link.peek_with(queue, usize::try_from(MAX_READ).unwrap_or(usize::MAX), read_one).await?;
        let length = u64::try_from(read.len()).unwrap_or(u64::MAX);
        let now = now.max(length);
        // Another consumer has some of the messages. A later poll finds all of them.
        if length < now.min(u64::from(MAX_READ)) {
            return Ok(());
        }
        // The newest message of a longer queue was not read.
        let newest = newest(&read).filter(|_| now <= u64::from(MAX_READ));
        let parked = newest_of_each_cause(&read, reported, now > reported.messages);
        let report = ParkingReport { messages: now, newest };
        if report == *reported {
            return Ok(());
        }
        if self.ledger.report_parked(queue, reported, &report, &parked).await? && !parked.is_empty() {
            let causes: Vec<_> = parked.iter().map(|one| one.cause.as_str()).collect();
            tracing::error!(
                stage = Self::NAME,
                queue,
                messages = now,
                new = now - reported.messages,
                ?causes,
                "messages are parked: see `nidbridge queue list`"
            );
        }
        Ok(())
    }
}

/// The newest message: the one that was parked last or, if the broker parked them, the last one.
/// Returns `None` for an empty queue.
fn newest(read: &[ReadMessage]) -> Option<String> {
    read.iter().enumerate().max_by_key(|(place, one)| (one.at, *place)).map(|(_, one)| one.key())
}

/// The newest message of each cause, ignoring those that were reported. If the queue has grown, the
/// last message is never ignored.
fn newest_of_each_cause(read: &[ReadMessage], reported: &ParkingReport, has_grown: bool) -> Vec<Parked> {
    let last = read.len().saturating_sub(1);
    let reported_key = reported.newest.as_deref();
    let reported_at: Option<Timestamp> =
        reported_key.and_then(|key| key.split('|').next()).and_then(|at| at.parse().ok());
    let place = reported_key.and_then(|key| read.iter().rposition(|one| one.key() == key));
    let old = usize::try_from(reported.messages).unwrap_or(usize::MAX);
    let is_new = |index: usize, one: &ReadMessage| match (reported_key, one.at.zip(reported_at)) {
        (None, _) => index >= old,
        (Some(_), Some((parked, reported))) => parked > reported,
        (Some(_), None) => place.is_none_or(|place| index > place),
    };
    let new =
        read.iter().enumerate().filter(|(index, one)| is_new(*index, one) || (has_grown && *index == last));
    let mut newest: BTreeMap<&str, (Parked, Vec<String>)> = BTreeMap::new();
    for (_, ReadMessage { parked, .. }) in new {
        let (of_cause, details) =
            newest.entry(parked.cause.as_str()).or_insert_with(|| (parked.clone(), Vec::new()));
        *of_cause = parked.clone();
        if let Some(detail) = &parked.detail {
            details.retain(|known| known != detail);
            details.push(detail.clone());
        }
    }
    newest.into_values().map(|(parked, details)| Parked { detail: joined(&details), ..parked }).collect()
}

/// The details of the newest messages, newest first, and how many others there are.
fn joined(details: &[String]) -> Option<String> {
    let shown: Vec<&str> = details.iter().rev().take(MAX_DETAILS).map(String::as_str).collect();
    let more = details.len() - shown.len();
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join("; ")))
}

impl ReadMessage {
    /// Identifies the message within its queue.
    fn key(&self) -> String {
        let at = self.at.map(|at| at.to_string()).unwrap_or_default();
        format!("{at}|{}", self.parked.message.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Cause;

    fn message(cause: Cause, id: &str, second: Option<i64>) -> ReadMessage {
        let at = second.map(|second| Timestamp::from_second(second).unwrap());
        ReadMessage { parked: Parked { cause, message: Some(id.to_owned()), detail: None }, at }
    }

    fn ids(read: &[ReadMessage], reported: &ParkingReport, has_grown: bool) -> String {
        let new = newest_of_each_cause(read, reported, has_grown);
        new.into_iter().filter_map(|one| one.message).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_newest_of_each_cause_is_reported_and_of_a_queue_too_long_the_last_that_was_read() {
        let read = [
            message(Cause::Unsealable, "1", None),
            message(Cause::Malformed, "2", None),
            message(Cause::Malformed, "3", None),
            message(Cause::DeliveryLimit, "4", None),
        ];
        let reported = |messages| ids(&read, &ParkingReport { messages, newest: None }, true);
        assert_eq!([reported(0), reported(2), reported(3), reported(900)], ["4 3 1", "4 3", "4", "4"]);
    }

    #[test]
    fn an_alert_names_the_details_of_the_five_newest_messages_and_counts_the_others() {
        let named = |count: i64| {
            let read: Vec<_> = (0..count)
                .map(|number| {
                    let mut one = message(Cause::Malformed, &number.to_string(), Some(number));
                    one.parked.detail = Some(format!("status {number}"));
                    one
                })
                .collect();
            let alerts = newest_of_each_cause(&read, &ParkingReport::default(), true);
            let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
            alert.detail.clone().unwrap()
        };
        assert_eq!(named(1), "status 0");
        assert_eq!(named(3), "status 2; status 1; status 0");
        assert_eq!(named(24), "status 23; status 22; status 21; status 20; status 19; and 19 more");
        let none = newest_of_each_cause(
            &[message(Cause::DeliveryLimit, "1", None)],
            &ParkingReport::default(),
            true,
        );
        assert_eq!(none[0].detail, None);
    }

    #[test]
    fn messages_that_took_the_place_of_others_are_reported_and_those_that_stayed_are_not() {
        let before = [message(Cause::Malformed, "1", Some(1)), message(Cause::Malformed, "2", Some(2))];
        let reported = ParkingReport { messages: 2, newest: newest(&before) };
        assert_eq!(ids(&before, &reported, false), "");
        // The first one went back to work and was parked again.
        let again = [before[1].clone(), message(Cause::Malformed, "1", Some(3))];
        assert_eq!(ids(&again, &reported, false), "1");
        // Both were taken away, and two others came.
        let others = [message(Cause::Unsealable, "3", Some(3)), message(Cause::Malformed, "4", Some(4))];
        assert_eq!(ids(&others, &reported, false), "4 3");
        // Messages that stay are not new, even if their order changes.
        let turned = [before[1].clone(), before[0].clone()];
        assert_eq!(ids(&turned, &reported, false), "");
        // The broker parked these, and says no time.
        let by_broker = [message(Cause::DeliveryLimit, "5", None), message(Cause::DeliveryLimit, "6", None)];
        let reported = ParkingReport { messages: 2, newest: newest(&by_broker) };
        assert_eq!(ids(&by_broker, &reported, false), "");
        let next = [by_broker[1].clone(), message(Cause::DeliveryLimit, "7", None)];
        assert_eq!(ids(&next, &reported, false), "7");
    }
}
