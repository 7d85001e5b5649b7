//! `nidbridge queue replay`.

use anyhow::anyhow;
use bytes::Bytes;

use super::{Access, ReplayArgs, link_to};
use crate::broker::{Incoming, Link, Pick, Replay, ReplayTo, Replayed};
use crate::operate::change::Mode;
use crate::operate::output;
use crate::operate::session::Session;
use crate::operate::tally::{Miss, Tally};
use crate::pipeline::stage::chain;
use crate::pipeline::{names, parked_for};
use crate::roles::{Failure, parts};
use crate::seal::{Field, Sealer};

/// Limit of the messages that one run looks at. Messages that stay are unacknowledged until the run
/// ends.
pub(in crate::operate) const LOOK: usize = 20_000;

pub(super) async fn run(session: &mut Session, args: &ReplayArgs) -> Result<(), Failure> {
    let to = target(&args.queue)?;
    let sealer = session.sealer()?;
    // Messages in the vendor's vhost must not show who operates the bridge, and why.
    let [_, vendors] = parts::parking_queues(&session.config);
    let is_vendors = vendors.contains(&args.queue);
    let mut tally = Tally::default();
    match args.change.mode() {
        Mode::DryRun => {
            let link = link_to(session, &args.queue, Access::Look).await?;
            rehearse(&link, args, &sealer, &mut tally).await?;
        }
        Mode::Change { reason } => {
            let ledger = session.ledger("operator").await?;
            let link = link_to(session, &args.queue, Access::Move(&ledger)).await?;
            let replay = Replay {
                from: args.queue.clone(),
                to,
                look: LOOK,
                most: args.limit,
                by: args.change.by(),
                reason: reason.to_owned(),
                signed: !is_vendors,
            };
            let pick = |message: &Incoming| {
                if is_selected(message, args) {
                    pick_unsealed(message, &sealer, &mut tally)
                } else {
                    Pick::Leave
                }
            };
            let replayed = link.replay(&replay, &session.stop, pick).await;
            report(replayed.map_err(|fault| Failure::Unavailable(anyhow!(chain(&fault))))?)?;
            session.check_stop()?;
        }
    }
    tally.verdict(|_, count| format!("{count} stay where they are: no key of SEAL_KEYS opens them"))
}

fn target(queue: &str) -> Result<ReplayTo, Failure> {
    match names::work_queue_of(queue) {
        Some(work) => Ok(ReplayTo::Queue(work.to_owned())),
        None if queue == names::UNROUTED => Ok(ReplayTo::AsPublished),
        None => Err(Failure::Failed(anyhow!(
            "only messages in a queue …{} or in `{}` can be sent back to work",
            names::parking_queue(""),
            names::UNROUTED
        ))),
    }
}

async fn rehearse(link: &Link, args: &ReplayArgs, sealer: &Sealer, tally: &mut Tally) -> Result<(), Failure> {
    let mut picked = 0;
    let count = |message: Incoming| {
        if picked < args.limit && is_selected(&message, args) {
            picked += usize::from(pick_unsealed(&message, sealer, tally) != Pick::Leave);
        }
    };
    link.peek_with(&args.queue, LOOK, count).await.map_err(|fault| Failure::Unavailable(fault.into()))?;
    output::line(&format!("would go back to work: {picked}"))
}

fn report(Replayed { moved, returned, stopped, .. }: Replayed) -> Result<(), Failure> {
    output::line(&format!("went back to work: {moved}"))?;
    if returned > 0 {
        return Err(Failure::Failed(anyhow!(
            "{returned} are in `{0}` again, because still no queue takes them: run `nidbridge topology apply`, then this once more",
            names::UNROUTED
        )));
    }
    match stopped {
        Some(fault) => Err(Failure::Later(anyhow!("the work queue took no more: {}", chain(&fault)))),
        None => Ok(()),
    }
}

fn is_selected(message: &Incoming, args: &ReplayArgs) -> bool {
    args.cause.is_none_or(|cause| parked_for(message, &args.queue) == cause)
}

/// Decides whether a message goes back to work. A reply that *resolve* sealed when it parked it
/// goes back unsealed, as it came. A reply that no key opens stays.
pub(in crate::operate) fn pick_unsealed(message: &Incoming, sealer: &Sealer, tally: &mut Tally) -> Pick {
    let text = std::str::from_utf8(&message.body).ok().filter(|text| Sealer::key_of(text).is_some());
    let Some(text) = text else { return Pick::Replay(message.body.clone()) };
    let owner = message.id.as_deref().unwrap_or("reply");
    match sealer.open_as(owner, Field::ParkedBody, text) {
        Ok(plain) => Pick::Replay(Bytes::copy_from_slice(&plain)),
        Err(fault) => {
            tracing::warn!(error = %fault, "a parked reply stays where it is");
            tally.add_missed(Miss::Failed, 1);
            Pick::Leave
        }
    }
}
