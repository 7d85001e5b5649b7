//! Takes in the registrations that wait in OpenCRVS and that no front has ([`search`]).
//!
//! One confirmer of the whole installation searches, with the bridge's own client. It needs a client
//! that may search, read and accept; without these rights it does nothing.
//!
//! Invariant: searching cannot make an outage worse. It reads and publishes one event at a time and
//! stops at the first failure. It waits while the queue of registrations has a backlog, because what
//! is in that queue is not in the ledger yet. Every event is read again only after a pause that
//! grows.

mod looked;
mod search;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::client::ClientSide;
use crate::broker::{Breaker, BrokerError, Link, WorkQueue};
use crate::domain::{EventKind, RecordId};
use crate::opencrvs::events::Waiting;
use crate::opencrvs::{AccessToken, OpencrvsFault, Right};
use crate::pipeline::elected::{ElectedTask, Election, Halt, Leadership, OnStop, Report, run_elected};
use crate::telemetry::Metrics;
use looked::Looked;
pub use search::{Finding, SearchFault, TakeIn, UnexplainedPage, UnheardSearch};

/// Name of the lease that elects the process that searches.
const LEASE: &str = "unheard";
/// Added to the lease, so that it outlasts a slow turn even if interval and timeout are short.
const LEASE_FLOOR: Duration = Duration::from_secs(5);
/// The most events that are read in one turn.
const BATCH: usize = 200;
/// In one of this many turns, events are searched whose registration core has not indexed.
const WIDE: u32 = 10;
/// Waiting registrations above which the search waits.
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
    pub client: Arc<ClientSide>,
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
        let looked = || Looked::new(self.search.after);
        let mut turns =
            Turns { unheard: self, requested: looked(), assigned: looked(), turn: 0, rights: None };
        run_elected(&mut turns, &self.search.ledger, election, stop).await;
    }

    fn searchable(&self, access: &AccessToken) -> Vec<EventKind> {
        let needed = [Right::Search, Right::Read, Right::Accept];
        let may = |kind: &&EventKind| needed.into_iter().all(|right| access.may(right, kind));
        self.rules.kinds.iter().filter(may).cloned().collect()
    }

    /// Whether more registrations wait to be recorded than a turn would add.
    async fn has_backlog(&self) -> Result<bool, BrokerError> {
        let mut sum = self.bridge.depth(self.registrations.name()).await?.ready;
        for (_, name) in self.registrations.delays() {
            sum += self.bridge.depth(&name).await?.ready;
        }
        Ok(sum > BACKLOG)
    }

    /// The halt after a fault. A refused access token is forgotten, so that the next turn fetches
    /// another one.
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
    /// Events that were read because the index shows them as pending.
    requested: Looked,
    /// Events that were read because a user is assigned to them.
    assigned: Looked,
    /// Number of the turn.
    turn: u32,
    /// Whether the client might search in the last turn, for the log.
    rights: Option<bool>,
}

impl ElectedTask for Turns<'_> {
    async fn turn(&mut self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        let unheard = self.unheard;
        // Unless this release lets the client answer, a registration without its token could not be answered.
        if unheard.gateway.is_open() || !unheard.client.may_answer() {
            return Ok(());
        }
        let access =
            unheard.client.system.access_token().await.map_err(|fault| Halt::Task(Box::new(fault)))?;
        let kinds = unheard.searchable(&access);
        self.tell_rights(&kinds);
        if kinds.is_empty() || unheard.has_backlog().await? {
            return Ok(());
        }
        let left = self.search(Waiting::Requested, &kinds, &access, BATCH, leadership).await?;
        if left > 0 && self.turn.is_multiple_of(WIDE) {
            self.search(Waiting::Assigned, &kinds, &access, left, leadership).await?;
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(())
    }
}

impl Turns<'_> {
    fn tell_rights(&mut self, kinds: &[EventKind]) {
        let may_search = !kinds.is_empty();
        if self.rights.replace(may_search) == Some(may_search) {
            return;
        }
        if may_search {
            let kinds: Vec<&str> = kinds.iter().map(EventKind::as_str).collect();
            tracing::info!(
                stage = Unheard::NAME,
                kinds = kinds.join(","),
                "OpenCRVS is searched for registrations that nobody heard of"
            );
        } else {
            tracing::info!(
                stage = Unheard::NAME,
                "the client may not search, read and accept, so registrations that nobody heard of are not found: see `nidbridge opencrvs client`"
            );
        }
    }

    /// Looks at the events that wait, reads at most `left` of them, and returns how many may still be
    /// read.
    async fn search(
        &mut self,
        waiting: Waiting,
        kinds: &[EventKind],
        access: &AccessToken,
        mut left: usize,
        leadership: &mut Leadership<'_>,
    ) -> Result<usize, Halt> {
        let unheard = self.unheard;
        self.looked(waiting).begin();
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
                    self.look(&record, access).await?;
                    self.looked(waiting).remember(&record, Instant::now());
                }
            }
        }
        self.looked(waiting).forget_absent();
        Ok(left)
    }

    fn looked(&mut self, waiting: Waiting) -> &mut Looked {
        match waiting {
            Waiting::Requested => &mut self.requested,
            Waiting::Assigned => &mut self.assigned,
        }
    }

    /// Whether an event is to be read. On an event that a user is assigned to, a registrar is
    /// probably working, so it is read only if it is still so after the first pause.
    fn is_due(&mut self, waiting: Waiting, record: &RecordId) -> bool {
        let now = Instant::now();
        match waiting {
            Waiting::Requested => self.requested.is_due(record, now),
            Waiting::Assigned => {
                let is_new = !self.assigned.has(record);
                if is_new {
                    self.assigned.remember(record, now);
                }
                self.assigned.is_due(record, now)
            }
        }
    }

    async fn look(&self, record: &RecordId, access: &AccessToken) -> Result<(), Halt> {
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
                    "a registration that nobody heard of was found in OpenCRVS and taken in"
                );
                "found"
            }
            Finding::Known => "known",
            Finding::Young => "young",
            Finding::NotWaiting => "not_waiting",
            Finding::Unusable(fault) => {
                tracing::error!(
                    stage = Unheard::NAME, record.id = %record, error = %fault,
                    "a registration that nobody heard of cannot be taken in: a registrar has to look at it"
                );
                "unusable"
            }
        };
        unheard.metrics.unheard(outcome);
        Ok(())
    }
}
