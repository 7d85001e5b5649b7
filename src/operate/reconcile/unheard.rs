//! Finds, with the bridge's own client, registrations of the events generation that wait in
//! OpenCRVS and that the bridge has never had. With `--take-in` it publishes them as a front would.

use anyhow::anyhow;

use super::mismatch::Mismatch;
use super::report::ComparisonReport;
use crate::confirmer::{Finding, SearchFault, TakeIn, UnheardSearch};
use crate::domain::{EventKind, TrackingId};
use crate::opencrvs::events::Waiting;
use crate::opencrvs::{AccessToken, Document, OpencrvsFault, Right, SystemClient};
use crate::operate::output;
use crate::pipeline::stage::chain;
use crate::roles::Failure;

pub(super) struct Unheard {
    pub(super) client: SystemClient,
    pub(super) kinds: Vec<EventKind>,
    pub(super) search: UnheardSearch,
    /// `None` if the registrations are only reported.
    pub(super) take_in: Option<TakeIn>,
}

impl Unheard {
    pub(super) async fn run(&self, report: &mut ComparisonReport) -> Result<(), Failure> {
        let access = self.client.access_token().await.map_err(|fault| {
            let transient = !fault.is_refusal();
            let fault = anyhow::Error::new(fault);
            if transient { Failure::Unavailable(fault) } else { Failure::Failed(fault) }
        })?;
        let needed = [Right::Search, Right::Read, Right::Accept];
        let may = |kind: &&EventKind| needed.into_iter().all(|right| access.may(right, kind));
        for kind in self.kinds.iter().filter(may) {
            for waiting in [Waiting::Requested, Waiting::Assigned] {
                self.kind(kind, waiting, &access, report).await?;
            }
        }
        Ok(())
    }

    async fn kind(
        &self,
        kind: &EventKind,
        waiting: Waiting,
        access: &AccessToken,
        report: &mut ComparisonReport,
    ) -> Result<(), Failure> {
        let mut next = Some(0);
        while let Some(offset) = next {
            let page =
                self.search.unexplained(access.secret(), kind, waiting, offset).await.map_err(failure)?;
            next = page.next;
            for record in page.events {
                *report.read_events.get_or_insert_default() += 1;
                match self.search.read(access.secret(), &record).await.map_err(failure)? {
                    Finding::Unheard(document) => self.found(&document, report).await?,
                    Finding::Unusable(fault) => {
                        output::progress(&format!(
                            "{record}: waits in OpenCRVS, but the bridge cannot take it in: {fault}"
                        ));
                        report.unusable += 1;
                    }
                    Finding::Known | Finding::Young | Finding::NotWaiting => {}
                }
            }
        }
        report.read_events.get_or_insert_default();
        Ok(())
    }

    async fn found(&self, document: &Document, report: &mut ComparisonReport) -> Result<(), Failure> {
        let Some(take_in) = &self.take_in else {
            let case = self.search.ledger.newest_attempt(&document.record).await?;
            let tracking_id = Some(TrackingId::as_str(&document.tracking_id));
            report.differences.push(Mismatch::not_open(
                &document.record,
                tracking_id,
                case.as_ref(),
                document.stamp,
            ));
            return Ok(());
        };
        take_in.take_in(document).await.map_err(|fault| {
            Failure::Unavailable(anyhow!("{}: not taken in: {}", document.record, chain(&fault)))
        })?;
        report.taken_in += 1;
        Ok(())
    }
}

fn failure(fault: SearchFault) -> Failure {
    match fault {
        SearchFault::Ledger(fault) => fault.into(),
        SearchFault::Opencrvs(fault @ (OpencrvsFault::Unauthorized | OpencrvsFault::RecordRefused)) => {
            Failure::Failed(anyhow!("OpenCRVS refuses the client: {fault}; see `nidbridge opencrvs client`"))
        }
        SearchFault::Opencrvs(fault) => Failure::Unavailable(anyhow!("OpenCRVS cannot be read: {fault}")),
    }
}
