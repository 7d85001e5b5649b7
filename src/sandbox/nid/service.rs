//! Connects the vendor to its queues.
//!
//! Invariant: a request is acknowledged after all replies that are due soon are published and
//! confirmed. Replies that are due later wait outside of the delivery, as the contract tells
//! vendors to do. The vendor's knowledge and its unsent replies survive a kill, as they would in
//! its database.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::reply::{Final, Planned};
use super::settings::VendorSettings;
use super::state::NidState;
use super::vendor::Vendor;
use crate::broker::{
    ConsumerSettings, Handler, Incoming, Link, Outgoing, Publisher, Settlement, WorkQueue, consume,
};
use crate::pipeline::{names, targets};

/// A reply that is due later than this is sent after the request is acknowledged.
const SOON: Duration = Duration::from_secs(1);

/// A running simulated ID system. Clones share it.
#[derive(Clone)]
pub struct NidSim {
    desk: Arc<Desk>,
    shift: Arc<Mutex<Option<Shift>>>,
}

impl NidSim {
    /// Starts to consume the requests of all kinds.
    pub fn start(settings: VendorSettings, link: &Link) -> Self {
        let desk = Arc::new(Desk {
            vendor: Mutex::new(Vendor::new(settings)),
            unsent: Mutex::default(),
            open: watch::Sender::new(true),
        });
        let shift = Shift::begin(&desk, link);
        Self { desk, shift: Arc::new(Mutex::new(Some(shift))) }
    }

    /// What the ID system saw and sent so far.
    pub fn state(&self) -> NidState {
        self.desk.with(|vendor| vendor.state().clone())
    }

    /// The current behaviour.
    pub fn settings(&self) -> VendorSettings {
        self.desk.with(|vendor| vendor.settings_mut().clone())
    }

    /// Changes the behaviour from now on.
    pub fn change(&self, change: impl FnOnce(&mut VendorSettings)) {
        self.desk.with(|vendor| change(vendor.settings_mut()));
    }

    /// Fixes the answer to all submissions of a request that have no answer yet.
    pub fn will_answer(&self, request_id: &str, answer: Final) {
        self.desk.with(|vendor| vendor.will_answer(request_id, answer));
    }

    /// Sends no reply until [`NidSim::resume_replies`]. Requests are still consumed.
    pub fn pause_replies(&self) {
        self.desk.open.send_replace(false);
    }

    pub fn resume_replies(&self) {
        self.desk.open.send_replace(true);
    }

    /// Number of replies that are not sent yet.
    pub fn unsent(&self) -> usize {
        self.desk.unsent().chains.values().map(|chain| chain.due.len()).sum()
    }

    /// Kills the vendor in the middle of its work. Unacknowledged requests are delivered again, and
    /// unsent replies are sent after [`NidSim::restart`]. The caller closes the link.
    pub async fn kill(&self) {
        let shift = self.shift().take();
        if let Some(shift) = shift {
            shift.death.cancel();
            shift.running.close();
            shift.running.wait().await;
        }
    }

    /// Starts a killed vendor again over this link; does nothing while the vendor runs.
    pub fn restart(&self, link: &Link) {
        self.shift().get_or_insert_with(|| Shift::begin(&self.desk, link));
    }

    /// Stops consuming requests, and drops the replies that are not due yet.
    pub async fn stop(self) {
        let shift = self.shift().take();
        if let Some(shift) = shift {
            shift.stop.cancel();
            shift.running.close();
            shift.running.wait().await;
        }
    }

    fn shift(&self) -> std::sync::MutexGuard<'_, Option<Shift>> {
        self.shift.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One run of the vendor, from its start to its stop or kill.
struct Shift {
    running: TaskTracker,
    /// Also cancelled when `death` is.
    stop: CancellationToken,
    death: CancellationToken,
}

impl Shift {
    fn begin(desk: &Arc<Desk>, link: &Link) -> Self {
        let death = CancellationToken::new();
        let shift = Self { running: TaskTracker::new(), stop: death.child_token(), death };
        let clerk = Arc::new(Clerk {
            desk: Arc::clone(desk),
            publisher: link.publisher(),
            later: shift.running.clone(),
            stop: shift.stop.clone(),
        });
        let left: Vec<u64> = desk.unsent().chains.keys().copied().collect();
        for chain in left {
            clerk.send_later(chain);
        }
        for kind in names::NID_KINDS {
            let (link, clerk) = (link.clone(), Arc::clone(&clerk));
            let (stop, death) = (shift.stop.clone(), shift.death.clone());
            shift.running.spawn(async move {
                let queue = WorkQueue::new(names::nid_requests(kind), &[], &[]);
                let settings =
                    ConsumerSettings { drain: Duration::from_secs(5), ..ConsumerSettings::default() };
                tokio::select! {
                    () = consume(&link, &queue, settings, clerk, stop) => {}
                    () = death.cancelled() => {}
                }
            });
        }
        shift
    }
}

/// The state of a vendor: what it knows, and its unsent replies.
struct Desk {
    vendor: Mutex<Vendor>,
    unsent: Mutex<Unsent>,
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct Unsent {
    next: u64,
    chains: BTreeMap<u64, Chain>,
}

/// The messages for one request, which are sent one after the other.
struct Chain {
    due: VecDeque<(Instant, Planned)>,
    last: Option<Instant>,
}

impl Desk {
    fn with<T>(&self, change: impl FnOnce(&mut Vendor) -> T) -> T {
        change(&mut self.vendor.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn unsent(&self) -> std::sync::MutexGuard<'_, Unsent> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, planned: Vec<Planned>, received: Instant) -> u64 {
        let mut unsent = self.unsent();
        unsent.next += 1;
        let chain = unsent.next;
        let due = planned.into_iter().map(|message| (received + message.after, message)).collect();
        unsent.chains.insert(chain, Chain { due, last: None });
        chain
    }

    /// The next message to send, and when it is due.
    fn first(&self, chain: u64) -> Option<(Instant, Planned)> {
        let mut unsent = self.unsent();
        let found = unsent.chains.get(&chain)?;
        let Some((due, message)) = found.due.front() else {
            unsent.chains.remove(&chain);
            return None;
        };
        let apart = found.last.map(|last| last + message.apart);
        Some((apart.map_or(*due, |apart| apart.max(*due)), message.clone()))
    }

    fn sent(&self, chain: u64) {
        if let Some(chain) = self.unsent().chains.get_mut(&chain) {
            chain.due.pop_front();
            chain.last = Some(Instant::now());
        }
        self.with(Vendor::has_sent);
    }

    fn is_open(&self) -> bool {
        *self.open.borrow()
    }
}

/// Consumes requests and publishes replies during a shift.
#[derive(Clone)]
struct Clerk {
    desk: Arc<Desk>,
    publisher: Publisher,
    later: TaskTracker,
    stop: CancellationToken,
}

impl Clerk {
    /// Sends the messages that are due before `until`; true if any are left for later.
    async fn send(&self, chain: u64, until: Option<Instant>) -> bool {
        while let Some((due, message)) = self.desk.first(chain) {
            if until.is_some_and(|until| due > until) {
                return true;
            }
            sleep_until(due).await;
            // An error means that the desk is gone, so nobody can resume the replies any more.
            drop(self.desk.open.subscribe().wait_for(|open| *open).await);
            self.publish(message).await;
            self.desk.sent(chain);
        }
        false
    }

    fn send_later(&self, chain: u64) {
        let (clerk, stop) = (self.clone(), self.stop.clone());
        self.later.spawn(async move {
            tokio::select! {
                _ = clerk.send(chain, None) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    async fn publish(&self, message: Planned) {
        let target = targets::nid_replies(message.routing_key);
        let outgoing = Outgoing {
            id: message.message_id,
            kind: "crvs.nid.reply.v1",
            content_type: "application/cloudevents+json",
            correlation_id: Some(message.correlation_id),
            headers: BTreeMap::new(),
            body: message.body,
        };
        while let Err(error) = self.publisher.publish(&target, outgoing.clone()).await {
            if !error.is_transient() {
                tracing::warn!(%error, "the simulated ID system cannot send a reply");
                return;
            }
            self.publisher.available(SOON).await;
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Handler for Clerk {
    const NAME: &'static str = "vendor";

    async fn handle(&self, message: Incoming) -> Settlement {
        let received = Instant::now();
        let planned = self.desk.with(|vendor| vendor.answer(&message.body, Timestamp::now()));
        let chain = self.desk.keep(planned, received);
        let left = !self.desk.is_open() || self.send(chain, Some(received + SOON)).await;
        if left {
            self.send_later(chain);
        }
        Settlement::Done
    }
}
