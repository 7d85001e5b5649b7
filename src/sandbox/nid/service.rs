//! Connects the vendor to its queues.
//!
//! Invariant: a request is acknowledged after all replies that are due soon are published and
//! confirmed. Replies that are due later wait outside of the delivery, as the contract tells
//! vendors to do. The vendor's knowledge and its unsent replies survive a kill, as they would in
//! its database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::outbox::Outbox;
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
    vendor: Arc<VendorState>,
    run: Arc<Mutex<Option<Run>>>,
}

impl NidSim {
    /// Starts to consume the requests of all kinds.
    pub fn start(settings: VendorSettings, link: &Link) -> Self {
        let vendor = Arc::new(VendorState {
            vendor: Mutex::new(Vendor::new(settings)),
            outbox: Mutex::default(),
            replies: watch::Sender::new(true),
        });
        let run = Run::begin(&vendor, link);
        Self { vendor, run: Arc::new(Mutex::new(Some(run))) }
    }

    /// What the ID system saw and sent so far.
    pub fn state(&self) -> NidState {
        lock(&self.vendor.vendor).state().clone()
    }

    /// The current behaviour.
    pub fn settings(&self) -> VendorSettings {
        lock(&self.vendor.vendor).settings_mut().clone()
    }

    /// Changes the behaviour from now on.
    pub fn change(&self, change: impl FnOnce(&mut VendorSettings)) {
        change(lock(&self.vendor.vendor).settings_mut());
    }

    /// Fixes the answer to all submissions of a request that have no answer yet.
    pub fn will_answer(&self, request_id: &str, answer: Final) {
        lock(&self.vendor.vendor).will_answer(request_id, answer);
    }

    /// Sends no reply until [`NidSim::resume_replies`]. Requests are still consumed.
    pub fn pause_replies(&self) {
        self.vendor.replies.send_replace(false);
    }

    pub fn resume_replies(&self) {
        self.vendor.replies.send_replace(true);
    }

    /// Number of replies that are not sent yet.
    pub fn unsent(&self) -> usize {
        lock(&self.vendor.outbox).len()
    }

    /// Kills the vendor in the middle of its work. Unacknowledged requests are delivered again, and
    /// unsent replies are sent after [`NidSim::restart`]. The caller closes the link.
    pub async fn kill(&self) {
        self.end(|run| run.killed.cancel()).await;
    }

    /// Starts a killed vendor again over this link; does nothing while the vendor runs.
    pub fn restart(&self, link: &Link) {
        lock(&self.run).get_or_insert_with(|| Run::begin(&self.vendor, link));
    }

    /// Stops consuming requests, and drops the replies that are not due yet.
    pub async fn stop(self) {
        self.end(|run| run.stop.cancel()).await;
    }

    async fn end(&self, signal: impl FnOnce(&Run)) {
        let run = lock(&self.run).take();
        if let Some(run) = run {
            signal(&run);
            run.tasks.close();
            run.tasks.wait().await;
        }
    }
}

/// One run of the vendor, from its start to its stop or kill.
#[derive(Clone)]
struct Run {
    tasks: TaskTracker,
    /// Also cancelled when `killed` is.
    stop: CancellationToken,
    killed: CancellationToken,
}

impl Run {
    fn begin(vendor: &Arc<VendorState>, link: &Link) -> Self {
        let killed = CancellationToken::new();
        let run = Self { tasks: TaskTracker::new(), stop: killed.child_token(), killed };
        let (vendor, publisher) = (Arc::clone(vendor), link.publisher());
        let consumer = Consumer { vendor, publisher, run: run.clone() };
        let unsent = lock(&consumer.vendor.outbox).requests();
        unsent.into_iter().for_each(|request| consumer.send_later(request));
        let consumer = Arc::new(consumer);
        for kind in names::NID_KINDS {
            let (link, consumer, stop) = (link.clone(), Arc::clone(&consumer), run.stop.clone());
            let killed = run.killed.clone();
            run.tasks.spawn(async move {
                let queue = WorkQueue::new(names::nid_requests(kind), &[], &[]);
                let settings =
                    ConsumerSettings { drain: Duration::from_secs(5), ..ConsumerSettings::default() };
                killed.run_until_cancelled(consume(&link, &queue, settings, consumer, stop)).await;
            });
        }
        run
    }
}

/// What survives a kill: the vendor's knowledge and its unsent replies.
struct VendorState {
    vendor: Mutex<Vendor>,
    outbox: Mutex<Outbox>,
    /// Whether replies are sent.
    replies: watch::Sender<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Consumes requests and publishes replies during one run.
#[derive(Clone)]
struct Consumer {
    vendor: Arc<VendorState>,
    publisher: Publisher,
    run: Run,
}

impl Consumer {
    /// Sends the messages for a request that are due before `until`; true if any are left for
    /// later.
    async fn send(&self, request: u64, until: Option<Instant>) -> bool {
        loop {
            let next = lock(&self.vendor.outbox).next(request);
            let Some((due, message)) = next else { return false };
            if until.is_some_and(|until| due > until) {
                return true;
            }
            sleep_until(due).await;
            // An error means that the vendor is gone, so nobody can resume the replies any more.
            drop(self.vendor.replies.subscribe().wait_for(|sent| *sent).await);
            self.publish(message).await;
            lock(&self.vendor.outbox).sent(request);
            lock(&self.vendor.vendor).has_sent();
        }
    }

    fn send_later(&self, request: u64) {
        let (consumer, stop) = (self.clone(), self.run.stop.clone());
        self.run.tasks.spawn(async move { stop.run_until_cancelled(consumer.send(request, None)).await });
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

impl Handler for Consumer {
    const NAME: &'static str = "vendor";

    async fn handle(&self, message: Incoming) -> Settlement {
        let received = Instant::now();
        let planned = lock(&self.vendor.vendor).answer(&message.body, Timestamp::now());
        let request = lock(&self.vendor.outbox).add(planned, received);
        let replies = *self.vendor.replies.borrow();
        if !replies || self.send(request, Some(received + SOON)).await {
            self.send_later(request);
        }
        Settlement::Done
    }
}
