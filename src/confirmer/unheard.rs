//! Takes in unheard registrations: those that wait in OpenCRVS although no front has them
//! ([`search`]).
//!
//! One confirmer of the whole installation searches, with the bridge's own client. The client has
//! to have the rights to search, read and accept; otherwise nothing is searched.
//!
//! Invariant: searching cannot make an outage worse. It reads and publishes one event at a time and
//! stops at the first failure. It waits while the queue of registrations has a backlog, because the
//! registrations in that queue are not in the ledger yet. An event is read again only after a
//! pause, which grows.

mod schedule;
mod search;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::client::ClientMonitor;
use crate::broker::{Breaker, BrokerError, Link, WorkQueue};
use crate::domain::{EventKind, RecordId};
use crate::opencrvs::events::Waiting;
use crate::opencrvs::{AccessToken, OpencrvsFault, Right};
use crate::pipeline::elected::{ElectedTask, Election, Halt, Leadership, OnStop, Report, run_elected};
use crate::telemetry::Metrics;
use schedule::ReadSchedule;
pub use search::{Finding, SearchFault, TakeIn, UnexplainedPage, UnheardSearch};

/// Name of the lease that elects the process that searches.
const LEASE: &str = "unheard";
/// Added to the lease, so that it outlasts a slow turn even if interval and timeout are short.
const LEASE_FLOOR: Duration = Duration::from_secs(5);
/// Maximum number of events that are read in one turn.
const BATCH: usize = 200;
/// Number of turns after which a search also includes [`Waiting::Assigned`].
const ASSIGNED_EVERY: u32 = 10;
/// Maximum number of queued registrations with which the search runs.
const BACKLOG: u32 = 200;

#[derive(Debug, Clone)]
pub struct UnheardRules {
    /// Time between two turns.
    pub interval: Duration,
    /// Kinds of event that are searched, if the client may.
    pub kinds: Vec<EventKind>,
    /// Timeout of a call to OpenCRVS.
    pub call_timeout: Duration,
}

pub struct Unheard {
    pub client: Arc<ClientMonitor>,
    pub search: UnheardSearch,
    pub take_in: TakeIn,
    /// Our own vhost.
    pub bridge: Link,
    /// The queue of accepted registrations.
    pub registrations: WorkQueue,
    /// The gateway's breaker.
    pub gateway: Breaker,
    pub metrics: Arc<Metrics>,
    pub rules: UnheardRules,
}

impl Unheard {
    /// Name in logs.
    pub const NAME: &'static str = "unheard";

    /// Searches until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let election = Election {
            stage: Self::NAME,
            lease: LEASE,
            ttl: LEASE_FLOOR + (self.rules.interval + self.rules.call_timeout) * 2,
            interval: self.rules.interval,
            // A call may take longer than the time that a process has to stop. A registration that
            // was published in an abandoned turn is recognised by the ledger.
            on_stop: OnStop::Abandon,
            report: Report::FirstFailure,
        };
        let schedule = || ReadSchedule::new(self.search.after);
        let mut turns =
            Turns { unheard: self, requested: schedule(), assigned: schedule(), turn: 0, may_search: None };
        run_elected(&mut turns, &self.search.ledger, election, stop).await;
    }

    fn searchable(&self, access: &AccessToken) -> Vec<EventKind> {
        let needed = [Right::Search, Right::Read, Right::Accept];
        let may = |kind: &&EventKind| needed.into_iter().all(|right| access.may(right, kind));
        self.rules.kinds.iter().filter(may).cloned().collect()
    }

    /// Whether more than [`BACKLOG`] registrations wait in the queue and its delay queues.
    async fn has_backlog(&self) -> Result<bool, BrokerError> {
        let mut sum = self.bridge.depth(self.registrations.name()).await?.ready;
        for (_, name) in self.registrations.delays() {
            sum += self.bridge.depth(&name).await?.ready;
        }
        Ok(sum > BACKLOG)
    }

    /// Ends the turn after a fault. A refused access token is forgotten, so that the next turn
    /// fetches another one.
    async fn halt(&self, access: &AccessToken, fault: SearchFault) -> Halt {
        match fault {
            SearchFault::Ledger(fault) => fault.into(),
            SearchFault::Opencrvs(fault) => {
                if fault == OpencrvsFault::Unauthorized {
                    self.client.system.refused(access).await;
                }
                Halt::Task(Box::new(fault))
            }
        }
    }
}

/// The turns of one process.
struct Turns<'a> {
    unheard: &'a Unheard,
    requested: ReadSchedule,
    assigned: ReadSchedule,
    /// Number of the turn.
    turn: u32,
    /// Whether the client might search in the last turn, for the log.
    may_search: Option<bool>,
}

impl ElectedTask for Turns<'_> {
    async fn turn(&mut self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        let unheard = self.unheard;
        // What the search takes in has no token, so only the client can answer it.
        if unheard.gateway.is_open() || !unheard.client.may_answer() {
            return Ok(());
        }
        let access =
            unheard.client.system.access_token().await.map_err(|fault| Halt::Task(Box::new(fault)))?;
        let kinds = unheard.searchable(&access);
        self.log_rights(&kinds);
        if kinds.is_empty() || unheard.has_backlog().await? {
            return Ok(());
        }
        let left = self.search(Waiting::Requested, &kinds, &access, BATCH, leadership).await?;
        if left > 0 && self.turn.is_multiple_of(ASSIGNED_EVERY) {
            self.search(Waiting::Assigned, &kinds, &access, left, leadership).await?;
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(())
    }
}

impl Turns<'_> {
    /// Logs whether the client may search, whenever that changes.
    fn log_rights(&mut self, kinds: &[EventKind]) {
        let may_search = !kinds.is_empty();
        if self.may_search.replace(may_search) == Some(may_search) {
            return;
        }
        if may_search {
            let kinds: Vec<&str> = kinds.iter().map(EventKind::as_str).collect();
            tracing::info!(
                stage = Unheard::NAME,
                kinds = kinds.join(","),
                "OpenCRVS is searched for registrations that no front has"
            );
        } else {
            tracing::info!(
                stage = Unheard::NAME,
                "the client lacks the right to search, read or accept, so registrations that no front has are not found: see \
                 `nidbridge opencrvs client`"
            );
        }
    }

    /// Searches, reads at most `left` of the events that are due, and returns how many may still be
    /// read in this turn.
    async fn search(
        &mut self,
        waiting: Waiting,
        kinds: &[EventKind],
        access: &AccessToken,
        mut left: usize,
        leadership: &mut Leadership<'_>,
    ) -> Result<usize, Halt> {
        let unheard = self.unheard;
        self.schedule(waiting).begin_search();
        for kind in kinds {
            let mut next = Some(0);
            while let Some(offset) = next {
                leadership.check().await?;
                let page = match unheard.search.unexplained(access.secret(), kind, waiting, offset).await {
                    Ok(page) => page,
                    Err(fault) => return Err(unheard.halt(access, fault).await),
                };
                next = page.next;
                for record in page.events {
                    if !self.is_due(waiting, &record) {
                        continue;
                    }
                    if left == 0 {
                        return Ok(0);
                    }
                    left -= 1;
                    leadership.check().await?;
                    self.read(&record, access).await?;
                    self.schedule(waiting).mark_read(&record, Instant::now());
                }
            }
        }
        self.schedule(waiting).forget_absent();
        Ok(left)
    }

    fn schedule(&mut self, waiting: Waiting) -> &mut ReadSchedule {
        match waiting {
            Waiting::Requested => &mut self.requested,
            Waiting::Assigned => &mut self.assigned,
        }
    }

    /// Whether an event is to be read. A registrar is probably working on an assigned event, so it
    /// is read only if it is still assigned after the first pause.
    fn is_due(&mut self, waiting: Waiting, record: &RecordId) -> bool {
        let now = Instant::now();
        match waiting {
            Waiting::Requested => self.requested.is_due(record, now),
            Waiting::Assigned => {
                if !self.assigned.has(record) {
                    self.assigned.mark_read(record, now);
                }
                self.assigned.is_due(record, now)
            }
        }
    }

    /// Reads an event, and takes in its registration if it is unheard.
    async fn read(&self, record: &RecordId, access: &AccessToken) -> Result<(), Halt> {
        let unheard = self.unheard;
        let finding = match unheard.search.read(access.secret(), record).await {
            Ok(finding) => finding,
            Err(fault) => return Err(unheard.halt(access, fault).await),
        };
        let outcome = match finding {
            Finding::Unheard(document) => {
                unheard.take_in.take_in(&document).await?;
                tracing::warn!(
                    stage = Unheard::NAME, event.kind = document.kind.as_str(), record.id = %record,
                    since = %document.stamp,
                    "a registration that no front has was found in OpenCRVS and taken in"
                );
                "found"
            }
            Finding::Known => "known",
            Finding::Young => "young",
            Finding::NotWaiting => "not_waiting",
            Finding::Unusable(fault) => {
                tracing::error!(
                    stage = Unheard::NAME, record.id = %record, error = %fault,
                    "a registration that no front has cannot be taken in: have a registrar look at the record in OpenCRVS"
                );
                "unusable"
            }
        };
        unheard.metrics.unheard(outcome);
        Ok(())
    }
}
