//! `nidbridge recover`: fills the queues of an empty broker from the ledger, or takes in again what
//! a restored ledger does not have.
//!
//! Invariant: the command publishes the next message of every open attempt, or moves registrations
//! back to the record stage, and changes nothing else, so it may be run with any broker, while the
//! roles run, and repeatedly.

mod unknown;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::anyhow;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::output;
use super::session::{self, Session};
use crate::domain::{AttemptId, State};
use crate::ledger::Ledger;
use crate::pipeline::NextHop;
use crate::pipeline::stage::{StageFault, chain};
use crate::roles::Failure;

/// Attempts that are read from the ledger at a time.
const PAGE: usize = 500;
/// Messages that are published concurrently.
const AT_ONCE: usize = 16;

/// `nidbridge recover`
#[derive(Debug, clap::Args)]
pub struct RecoverArgs {
    /// Publish nothing: only count what would be published.
    #[arg(long)]
    pub dry_run: bool,
    /// After an older ledger was restored: take in again the attempts that it does not have, from
    /// the messages that were parked with the cause `unknown_attempt` and from the copies of the
    /// requests that were sent in the last 48 hours.
    #[arg(long)]
    pub unknown: bool,
}

/// Open attempts by state.
type Counts = BTreeMap<&'static str, u64>;

pub(crate) async fn run(args: RecoverArgs, file: Option<PathBuf>) -> Result<(), Failure> {
    session::with_keys("recover", file, async |session| {
        if args.unknown {
            return unknown::run(session, args.dry_run).await;
        }
        let ledger = session.ledger("recover").await?;
        let open = ledger.open_counts().await?;
        if args.dry_run {
            return summary(&open, "would be published");
        }
        let next = session.next_hop(&ledger).await?;
        summary(&publish(session, &ledger, &next, open.values().sum()).await?, "published")
    })
    .await
}

/// Publishes the next message of every open attempt. Returns the number of attempts by state.
async fn publish(session: &Session, ledger: &Ledger, next: &NextHop, total: u64) -> Result<Counts, Failure> {
    let mut done = Counts::new();
    let mut after = None;
    loop {
        let page = ledger.open_after(after, PAGE).await?;
        let Some(last) = page.last().copied() else { return Ok(done) };
        after = Some(last);
        let states: Vec<Option<State>> = stream::iter(page)
            .map(|attempt| publish_one(ledger, next, attempt))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
            .map_err(|fault| failure(&fault))?;
        for state in states.into_iter().flatten() {
            *done.entry(state.as_str()).or_default() += 1;
        }
        output::progress(&format!("{} of {total} published", done.values().sum::<u64>()));
        session.check_stop()?;
    }
}

/// Publishes the next message of an attempt. Returns `None` if the attempt has ended meanwhile.
async fn publish_one(
    ledger: &Ledger,
    next: &NextHop,
    attempt: AttemptId,
) -> Result<Option<State>, StageFault> {
    let Some(case) = ledger.case(attempt).await?.filter(|case| case.attempt.state.is_open()) else {
        return Ok(None);
    };
    next.drive(&case).await?;
    ledger.republished(&case).await?;
    Ok(Some(case.attempt.state))
}

fn summary(counts: &Counts, what: &str) -> Result<(), Failure> {
    for state in State::ALL.into_iter().filter(|state| state.is_open()) {
        let count = counts.get(state.as_str()).copied().unwrap_or_default();
        output::line(&format!("{:<9} {count}", state.as_str()))?;
    }
    output::line(&format!("{what}: {}", counts.values().sum::<u64>()))
}

fn failure(fault: &StageFault) -> Failure {
    let why = anyhow!("{}: what was published so far does no harm, run it again", chain(fault));
    match fault {
        StageFault::Publish(_) | StageFault::IdSystem(_) => Failure::Unavailable(why),
        StageFault::Ledger(ledger) if ledger.is_transient() => Failure::Unavailable(why),
        StageFault::Ledger(_) | StageFault::Message(_) | StageFault::Seal(_) => Failure::Failed(why),
    }
}
