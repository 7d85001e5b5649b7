//! `nidbridge queue purge`.
//!
//! Invariant: only replies are removed, which the ID system can send again.

use anyhow::anyhow;

use super::{Access, PurgeArgs, link_to};
use crate::operate::change::Mode;
use crate::operate::output;
use crate::operate::session::Session;
use crate::pipeline::names;
use crate::roles::Failure;

pub(super) async fn run(session: &mut Session, args: &PurgeArgs) -> Result<(), Failure> {
    let queue = args.queue.as_str();
    if names::work_queue_of(queue) != Some(names::NID_REPLIES) {
        return Err(Failure::Failed(anyhow!(
            "only refused replies of the ID system can be removed, from `{}` or `{}`: it can send them again",
            names::NID_REFUSED,
            names::parking_queue(names::NID_REPLIES)
        )));
    }
    match args.change.mode() {
        Mode::DryRun => {
            let link = link_to(session, queue, Access::Look).await?;
            let there = link.depth(queue).await.map_err(|fault| Failure::Unavailable(fault.into()))?;
            output::line(&format!("would be removed: {}", there.ready))
        }
        Mode::Change { reason } => {
            let by = args.change.by();
            let ledger = session.ledger(&format!("operator {by}")).await?;
            let link = link_to(session, queue, Access::Move(&ledger)).await?;
            let reported = ledger.parked_reported(queue).await?;
            let removed = link.purge(queue).await.map_err(|fault| Failure::Unavailable(fault.into()))?;
            tracing::warn!(queue, removed, by, reason, "parked messages were removed");
            // Otherwise the watcher would not see that as many messages are parked again.
            ledger.report_moved(queue, &reported, usize::try_from(removed).unwrap_or(usize::MAX)).await?;
            output::line(&format!("removed: {removed}"))
        }
    }
}
