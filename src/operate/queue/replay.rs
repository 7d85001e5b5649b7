//! `nidbridge queue replay`.

use anyhow::anyhow;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{ReplayArgs, link_to};
use crate::broker::{Back, Incoming, Link, Pick, Replay, Replayed, names};
use crate::config::Config;
use crate::operate::output;
use crate::pipeline::stage::chain;
use crate::roles::{Failure, parts};
use crate::seal::{Field, Sealer};

/// Messages that are looked at in one run, whatever is to be done with them: those that stay are held meanwhile.
const LOOK: usize = 20_000;

pub(super) async fn run(config: &Config, args: &ReplayArgs, stop: &CancellationToken) -> Result<(), Failure> {
    let to = match names::work_of(&args.queue) {
        Some(work) => Back::Queue(work.to_owned()),
        None if args.queue == names::UNROUTED => Back::AsPublished,
        None => {
            return Err(Failure::Failed(anyhow!(
                "only what is in a queue …{} or in `{}` goes back to work",
                names::parked(""),
                names::UNROUTED
            )));
        }
    };
    let sealer = parts::sealer(config)?;
    let link = link_to(config, &args.queue).await?;
    let done = match (&args.reason, args.dry_run) {
        (Some(reason), false) => {
            let replay = Replay {
                from: args.queue.clone(),
                to,
                look: LOOK,
                most: args.limit,
                by: args.by.clone().unwrap_or_else(parts::account),
                reason: reason.clone(),
            };
            replayed(&link, &replay, args, &sealer, stop).await
        }
        (Some(_) | None, _) => rehearsed(&link, args, &sealer).await,
    };
    link.close().await;
    done
}

async fn rehearsed(link: &Link, args: &ReplayArgs, sealer: &Sealer) -> Result<(), Failure> {
    let (mut sealed, mut picked) = (0, 0);
    let count = |message: Incoming| {
        if picked < args.limit && is_chosen(&message, args) {
            picked += usize::from(pick(&message, sealer, &mut sealed) != Pick::Leave);
        }
    };
    link.look(&args.queue, LOOK, count).await.map_err(|fault| Failure::Unavailable(fault.into()))?;
    output::line(&format!("would go back to work: {picked}"))?;
    verdict(sealed)
}

async fn replayed(
    link: &Link,
    replay: &Replay,
    args: &ReplayArgs,
    sealer: &Sealer,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let mut sealed = 0;
    let done = link.replay(replay, stop, |message| {
        if is_chosen(message, args) { pick(message, sealer, &mut sealed) } else { Pick::Leave }
    });
    let Replayed { moved, returned, stopped, .. } = match done.await {
        Ok(done) => done,
        Err(fault) => return Err(Failure::Unavailable(anyhow!(chain(&fault)))),
    };
    output::line(&format!("went back to work: {moved}"))?;
    if returned > 0 {
        return Err(Failure::Failed(anyhow!(
            "{returned} are in `{0}` again: still no queue takes them; run `nidbridge topology apply`, then this once more",
            names::UNROUTED
        )));
    }
    if let Some(fault) = stopped {
        return Err(Failure::Later(anyhow!("the work queue took no more: {}", chain(&fault))));
    }
    if stop.is_cancelled() {
        return Err(Failure::Later(anyhow!("stopped before the end: run it again")));
    }
    verdict(sealed)
}

fn is_chosen(message: &Incoming, args: &ReplayArgs) -> bool {
    args.cause.is_none_or(|cause| message.parked_for(&args.queue) == cause)
}

/// *resolve* parks a reply sealed; it goes back as it came.
fn pick(message: &Incoming, sealer: &Sealer, sealed: &mut usize) -> Pick {
    let text = std::str::from_utf8(&message.body).ok().filter(|text| Sealer::key_of(text).is_some());
    let Some(text) = text else { return Pick::Replay(message.body.clone()) };
    let owner = message.id.as_deref().unwrap_or("reply");
    match sealer.open_as(owner, Field::ParkedBody, text) {
        Ok(plain) => Pick::Replay(Bytes::copy_from_slice(&plain)),
        Err(fault) => {
            tracing::warn!(error = %fault, "a parked reply stays where it is");
            *sealed += 1;
            Pick::Leave
        }
    }
}

fn verdict(sealed: usize) -> Result<(), Failure> {
    if sealed == 0 {
        return Ok(());
    }
    Err(Failure::Failed(anyhow!("{sealed} stay where they are: no key of SEAL_KEYS opens them")))
}
