//! `nidbridge recover`: fills the queues of an empty broker from the ledger.
//!
//! Invariant: it publishes the next hop of every open attempt and changes nothing else, so that it may be run on any
//! broker, while the roles run, and as often as one likes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::anyhow;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::output;
use crate::config::Config;
use crate::domain::{AttemptId, State};
use crate::ledger::Ledger;
use crate::pipeline::NextHop;
use crate::pipeline::stage::{StageFault, chain};
use crate::roles::{Failure, parts, start};

/// Attempts that are read at a time.
const PAGE: usize = 500;
/// Messages that are under way at the same time.
const AT_ONCE: usize = 16;

/// `nidbridge recover`
#[derive(Debug, clap::Args)]
pub struct RecoverArgs {
    /// Only count what would be published.
    #[arg(long)]
    pub dry_run: bool,
}

pub(crate) async fn run(args: RecoverArgs, file: Option<PathBuf>) -> Result<(), Failure> {
    start::operation("recover", file, async |config, stop| {
        let sealer = parts::sealer(&config)?;
        let ledger = parts::operators_ledger(&config, "recover", &sealer).await?;
        let open = ledger.open_counts().await.map_err(parts::ledger_away)?;
        let done = if args.dry_run { Ok(open) } else { publish(&config, &ledger, &open, &stop).await };
        ledger.close().await;
        summary(&done?, args.dry_run)
    })
    .await
}

async fn publish(
    config: &Config,
    ledger: &Ledger,
    open: &BTreeMap<&'static str, u64>,
    stop: &CancellationToken,
) -> Result<BTreeMap<&'static str, u64>, Failure> {
    let link = parts::operators_link(config).await?;
    let next = parts::next_hop(config, ledger, &link);
    let done = refill(ledger, &next, open.values().sum(), stop).await;
    link.close().await;
    done
}

/// Publishes the next hop of every open attempt; returns how many, by state.
async fn refill(
    ledger: &Ledger,
    next: &NextHop,
    total: u64,
    stop: &CancellationToken,
) -> Result<BTreeMap<&'static str, u64>, Failure> {
    let mut done = BTreeMap::new();
    let mut after = None;
    loop {
        let page = ledger.open_after(after, PAGE).await.map_err(parts::ledger_away)?;
        let Some(last) = page.last().copied() else { return Ok(done) };
        after = Some(last);
        let states: Vec<Option<State>> = stream::iter(page)
            .map(|attempt| republish(ledger, next, attempt))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
            .map_err(|fault| failed(&fault))?;
        for state in states.into_iter().flatten() {
            *done.entry(state.as_str()).or_default() += 1;
        }
        progress(done.values().sum(), total);
        if stop.is_cancelled() {
            return Err(Failure::Later(anyhow!("stopped before the end: run it again")));
        }
    }
}

/// `None`: it has ended meanwhile.
async fn republish(ledger: &Ledger, next: &NextHop, attempt: AttemptId) -> Result<Option<State>, StageFault> {
    let Some(case) = ledger.case(attempt).await?.filter(|case| case.attempt.state.is_open()) else {
        return Ok(None);
    };
    next.drive(&case).await?;
    ledger.republished(&case).await?;
    Ok(Some(case.attempt.state))
}

fn progress(done: u64, total: u64) {
    // With stderr gone there is nobody to show anything to.
    writeln!(std::io::stderr(), "{done} of {total} published").unwrap_or_default();
}

fn summary(counts: &BTreeMap<&'static str, u64>, dry_run: bool) -> Result<(), Failure> {
    for state in State::ALL.into_iter().filter(|state| state.is_open()) {
        let count = counts.get(state.as_str()).copied().unwrap_or_default();
        output::line(&format!("{:<9} {count}", state.as_str()))?;
    }
    let total: u64 = counts.values().sum();
    let what = if dry_run { "would be published" } else { "published" };
    output::line(&format!("{what}: {total}"))
}

fn failed(fault: &StageFault) -> Failure {
    let why = anyhow!("{}: what was published so far does no harm, run it again", chain(fault));
    match fault {
        StageFault::Publish(_) | StageFault::IdSystem(_) => Failure::Unavailable(why),
        StageFault::Ledger(ledger) if ledger.is_transient() => Failure::Unavailable(why),
        StageFault::Ledger(_) | StageFault::Message(_) | StageFault::Seal(_) => Failure::Failed(why),
    }
}
