//! The vendor at its queues.
//!
//! Invariant: a request is acknowledged after what is due soon was published and confirmed. What is due later waits
//! outside of the delivery, as the contract tells vendors to do; this vendor's memory ends with its process.

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
    ConsumerSettings, Handler, Incoming, Link, Outgoing, Publisher, Settlement, Target, WorkQueue, consume,
    names,
};

/// What is due later than this is not waited for with the request in hand.
const SOON: Duration = Duration::from_secs(1);

/// A running simulated ID system. Clones are the same one.
#[derive(Clone)]
pub struct NidSim {
    desk: Arc<Desk>,
    running: TaskTracker,
    stop: CancellationToken,
}

impl NidSim {
    /// Starts to consume the requests of every kind.
    pub fn start(settings: VendorSettings, link: &Link) -> Self {
        let (open, is_open) = watch::channel(true);
        let stop = CancellationToken::new();
        let running = TaskTracker::new();
        let desk = Arc::new(Desk {
            vendor: Mutex::new(Vendor::new(settings)),
            outbox: Outbox { publisher: link.publisher(), open: is_open },
            open,
            later: running.clone(),
            stop: stop.clone(),
        });
        for kind in names::NID_KINDS {
            let (link, desk, stop) = (link.clone(), Arc::clone(&desk), stop.clone());
            running.spawn(async move {
                let queue = WorkQueue::new(names::nid_requests(kind), &[], &[]);
                let settings =
                    ConsumerSettings { drain: Duration::from_secs(5), ..ConsumerSettings::default() };
                consume(&link, &queue, settings, desk, stop).await;
            });
        }
        Self { desk, running, stop }
    }

    /// What was seen and sent so far.
    pub fn state(&self) -> NidState {
        self.desk.with(|vendor| vendor.state().clone())
    }

    /// Changes the behaviour from now on.
    pub fn change(&self, change: impl FnOnce(&mut VendorSettings)) {
        self.desk.with(|vendor| change(vendor.settings_mut()));
    }

    /// Fixes the answer to the submissions of a request that have none yet.
    pub fn will_answer(&self, request_id: &str, answer: Final) {
        self.desk.with(|vendor| vendor.will_answer(request_id, answer));
    }

    /// Holds back every reply until [`NidSim::release`]; requests are still read.
    pub fn hold(&self) {
        self.desk.open.send_replace(false);
    }

    /// Lets the replies go.
    pub fn release(&self) {
        self.desk.open.send_replace(true);
    }

    /// Stops reading requests, and drops what was not due yet.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

struct Desk {
    vendor: Mutex<Vendor>,
    outbox: Outbox,
    open: watch::Sender<bool>,
    later: TaskTracker,
    stop: CancellationToken,
}

impl Desk {
    fn with<T>(&self, change: impl FnOnce(&mut Vendor) -> T) -> T {
        change(&mut self.vendor.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_open(&self) -> bool {
        *self.open.borrow()
    }
}

/// Where replies leave.
#[derive(Clone)]
struct Outbox {
    publisher: Publisher,
    open: watch::Receiver<bool>,
}

impl Outbox {
    async fn send(&self, message: Planned, received: Instant) {
        sleep_until(received + message.after).await;
        // an error means that the desk is gone, and with it whoever could let go
        drop(self.open.clone().wait_for(|open| *open).await);
        let target = Target::nid_replies(message.routing_key);
        let outgoing = Outgoing {
            id: message.message_id,
            kind: "crvs.nid.reply.v1",
            content_type: "application/cloudevents+json",
            correlation_id: Some(message.correlation_id),
            headers: std::collections::BTreeMap::new(),
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

impl Handler for Desk {
    const NAME: &'static str = "vendor";

    async fn handle(&self, message: Incoming) -> Settlement {
        let received = Instant::now();
        let planned = self.with(|vendor| vendor.answer(&message.body, Timestamp::now()));
        for reply in planned {
            if reply.after <= SOON && self.is_open() {
                self.outbox.send(reply, received).await;
                continue;
            }
            let (outbox, stop) = (self.outbox.clone(), self.stop.clone());
            self.later.spawn(async move {
                tokio::select! {
                    () = outbox.send(reply, received) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        Settlement::Done
    }
}
