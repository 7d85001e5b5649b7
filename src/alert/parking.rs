//! Calls an operator for what could not even be recorded: messages that rest in a parking place of the broker.
//!
//! What has a ledger row is parked in the ledger, and its alert is written with it. What has none is parked on the broker, by a
//! stage, or by the broker itself (too many deliveries, no queue that takes it), of which no process hears. So this looks at
//! the parking places instead of being told: what is there stays there until an operator takes it away, so that nothing is
//! missed by a process that dies between parking and telling, no settlement waits for a webhook, and a vendor who sends
//! garbage all day calls once per look and cause, not once per message. Of all workers that sweep one looks, by a lease in
//! the ledger; the alerts go through the same outbox as all others.
//!
//! Invariant: growth calls at the next look that sees all of it; what an operator was told of does not call again, also not when he looks into
//! the queue, which hides for a moment what is there. It takes nothing away.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::broker::{Incoming, Link};
use crate::ledger::{Ledger, Parked};
use crate::pipeline::elected::{
    ElectedTask, Election, Halt, Leadership, OnStop, Report, TurnEnd, run_elected,
};
use crate::pipeline::{own_id, parked_for};

/// The lease that makes one process the only one that looks.
const LEASE: &str = "parking";
/// A process that still looks is not taken for one that is gone.
const LEASE_FLOOR: Duration = Duration::from_secs(5);
/// Messages that are looked into, from the front: in a longer queue the cause is that of the last one of these.
const LOOK: u32 = 200;

/// A vhost and its parking places.
pub struct Places {
    /// The way there.
    pub link: Link,
    /// Their names.
    pub queues: Vec<String>,
}

/// Looks after parking places.
pub struct Parking {
    /// Where alerts are written.
    pub ledger: Ledger,
    /// What is looked at.
    pub places: Vec<Places>,
    /// How often.
    pub interval: Duration,
}

/// The queues that were shorter at the last look than an operator was told, with their lengths.
type Shorter = BTreeMap<String, u64>;

/// The looks of one process.
struct Looks<'a> {
    parking: &'a Parking,
    shorter: Shorter,
}

impl ElectedTask for Looks<'_> {
    async fn turn(&mut self, _leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        for Places { link, queues } in &self.parking.places {
            for queue in queues {
                self.parking.look_at(link, queue, &mut self.shorter).await?;
            }
        }
        Ok(())
    }

    fn ended(&mut self, end: TurnEnd) {
        if end == TurnEnd::Elsewhere {
            self.shorter.clear();
        }
    }
}

impl Parking {
    /// Its name in logs.
    pub const NAME: &'static str = "parking";

    /// Looks until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let election = Election {
            stage: Self::NAME,
            lease: LEASE,
            ttl: LEASE_FLOOR + self.interval * 2,
            interval: self.interval,
            on_stop: OnStop::FinishStep,
            report: Report::FirstFailure,
        };
        let mut looks = Looks { parking: self, shorter: Shorter::new() };
        run_elected(&mut looks, &self.ledger, election, stop).await;
    }

    async fn look_at(&self, link: &Link, queue: &str, shorter: &mut Shorter) -> Result<(), Halt> {
        let now = u64::from(link.depth(queue).await?.ready);
        let told = self.ledger.parked_reported(queue).await?;
        let before = shorter.remove(queue);
        if now < told {
            // Whoever looks into a queue holds what is there meanwhile: only what is gone twice is gone.
            match before {
                Some(before) => {
                    self.ledger.report_parked(queue, (told, now.max(before)), &[]).await?;
                }
                None => {
                    shorter.insert(queue.to_owned(), now);
                }
            }
        } else if now > told {
            let of = |message: Incoming| Parked {
                cause: parked_for(&message, queue),
                message: own_id(&message).map(str::to_owned),
            };
            let seen = link.look(queue, usize::try_from(LOOK).unwrap_or(usize::MAX), of).await?;
            let length = u64::try_from(seen.len()).unwrap_or(u64::MAX);
            let now = now.max(length);
            // Somebody else holds a part of it: the next look finds it all.
            if length < now.min(u64::from(LOOK)) {
                return Ok(());
            }
            let parked = new_in(seen, told);
            if self.ledger.report_parked(queue, (told, now), &parked).await? {
                let causes: Vec<_> = parked.iter().map(|one| one.cause.as_str()).collect();
                tracing::error!(
                    stage = Self::NAME,
                    queue,
                    messages = now,
                    new = now - told,
                    ?causes,
                    "messages are parked"
                );
            }
        }
        Ok(())
    }
}

/// What came behind the first `told` messages: of each cause the newest one.
fn new_in(seen: Vec<Parked>, told: u64) -> Vec<Parked> {
    let old = usize::try_from(told).unwrap_or(usize::MAX).min(seen.len().saturating_sub(1));
    let newest: BTreeMap<_, _> = seen.into_iter().skip(old).map(|one| (one.cause.as_str(), one)).collect();
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Cause;

    #[test]
    fn of_each_cause_the_newest_is_told_and_of_a_queue_too_long_the_last_that_was_seen() {
        let parked = |cause, id: &str| Parked { cause, message: Some(id.to_owned()) };
        let seen = vec![
            parked(Cause::Unsealable, "1"),
            parked(Cause::Malformed, "2"),
            parked(Cause::Malformed, "3"),
            parked(Cause::DeliveryLimit, "4"),
        ];
        let told = |before| {
            let new = new_in(seen.clone(), before);
            new.into_iter().filter_map(|one| one.message).collect::<Vec<_>>().join(" ")
        };
        assert_eq!([told(0), told(2), told(3), told(900)], ["4 3 1", "4 3", "4", "4"]);
    }
}
