//! `nidbridge queue replay`.

use anyhow::anyhow;
use bytes::Bytes;

use super::{Access, ReplayArgs, link_to};
use crate::broker::{Incoming, Link, Pick, Replay, ReplayTo, Replayed};
use crate::domain::RequestId;
use crate::ledger::Ledger;
use crate::nid::Reply;
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
            let ledger = session.ledger(&format!("operator {}", args.change.by())).await?;
            let link = link_to(session, &args.queue, Access::Move(&ledger)).await?;
            let reported = ledger.parked_reported(&args.queue).await?;
            let replay = Replay {
                from: args.queue.clone(),
                to,
                look: LOOK,
                most: args.limit,
                by: args.change.by(),
                reason: reason.to_owned(),
                signed: !is_vendors,
            };
            let mut picked = Vec::new();
            let pick = |message: &Incoming| {
                if !is_selected(message, args) {
                    return Pick::Leave;
                }
                let pick = pick_unsealed(message, &sealer, &mut tally);
                if let Pick::Replay(body) = &pick {
                    picked.push(request_of(message, body));
                }
                pick
            };
            let replayed = link.replay(&replay, &session.stop, pick).await;
            let moved = replayed.as_ref().map_or_else(|fault| fault.moved, |replayed| replayed.moved);
            // Otherwise the watcher would not see that as many messages are parked again.
            ledger.report_moved(&args.queue, &reported, moved).await?;
            if is_vendors {
                picked.truncate(moved);
                keep(&ledger, &picked, args, reason).await?;
            }
            report(replayed.map_err(|fault| Failure::Unavailable(anyhow!(chain(&fault))))?)?;
            session.check_stop()?;
        }
    }
    tally.verdict(|_, count| format!("{count} stay where they are: no key of SEAL_KEYS opens them"))
}

/// The request that a message of the contract is about, if it names one.
fn request_of(message: &Incoming, body: &[u8]) -> Option<RequestId> {
    let of_request = || RequestId::parse(message.own_id()?.split(':').next()?).ok();
    let correlated = || RequestId::parse(message.correlation_id.as_deref()?).ok();
    Reply::addressed_request(body, body.len()).or_else(correlated).or_else(of_request)
}

/// Keeps the operator's name and reason in the history of each record, because the messages do not
/// carry them.
async fn keep(
    ledger: &Ledger,
    moved: &[Option<RequestId>],
    args: &ReplayArgs,
    reason: &str,
) -> Result<(), Failure> {
    let mut unknown = 0;
    for request in moved {
        let record = match request {
            Some(request) => ledger.record_of(*request).await?,
            None => None,
        };
        match record {
            Some(record) => ledger.note_replayed(&record, &args.queue, reason).await?,
            None => unknown += 1,
        }
    }
    if unknown > 0 {
        output::line(&format!(
            "{unknown} name no record of the ledger, so no history keeps who sent them back and why"
        ))?;
    }
    Ok(())
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
            if tally.missed() == 0 {
                tracing::warn!(error = %fault, "a parked reply stays where it is; others may, too");
            }
            tally.add_missed(Miss::Failed, 1);
            Pick::Leave
        }
    }
}
