//! `nidbridge seal rotate`: what rests in the ledger is sealed anew with the first of `SEAL_KEYS`.
//!
//! Invariant: it may be broken off, repeated and run beside the roles; a key is called dispensable only where nothing
//! in the ledger rests under it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::output;
use crate::broker::names;
use crate::config::Config;
use crate::ledger::{Ledger, SealedColumn};
use crate::roles::{Failure, parts, start};
use crate::seal::Sealer;

/// Values that are sealed anew before progress is told.
const BATCH: usize = 500;

const ROTATE: &str = "\
How to change the key without a stop:\n\
  1. add the new key at the end of SEAL_KEYS of every front, worker and confirmer, and restart them: all can open it;\n\
  2. move it to the first place everywhere, and restart them: from now on it seals;\n\
  3. run this command with the same SEAL_KEYS, until it says that nothing rests under the old key;\n\
  4. see that what it names besides the ledger is empty, then take the old key out and restart.\n\n\
Exit codes: 0 all rests under the first key; 1 there are values that no key opens, told by count and reason; 69 the \
ledger cannot be reached; 75 stopped before the end, run it again; 78 SEAL_KEYS does not open this ledger.";

/// `nidbridge seal …`
#[derive(Debug, Subcommand)]
pub enum SealCommand {
    /// Seals everything in the ledger anew with the first key, and says which keys can go.
    #[command(after_help = ROTATE)]
    Rotate(RotateArgs),
}

/// `nidbridge seal rotate`
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Only count what rests under which key.
    #[arg(long)]
    pub dry_run: bool,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

pub(crate) async fn run(command: SealCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    let SealCommand::Rotate(args) = command;
    start::operation("seal", file, async move |config, stop| rotate(&config, &args, &stop).await).await
}

async fn rotate(config: &Config, args: &RotateArgs, stop: &CancellationToken) -> Result<(), Failure> {
    let sealer = parts::sealer(config)?;
    let first = sealer.first_key().context("SEAL_KEYS is empty")?.to_owned();
    let ledger = parts::operators_ledger(config, "seal", &sealer).await?;
    let done = async {
        let mut report = Report { first_key: first, ..Report::default() };
        if !args.dry_run {
            reseal(&ledger, &sealer, &mut report, stop).await?;
        }
        for place in SealedColumn::ALL {
            let counts = ledger.sealed_counts(place).await.map_err(parts::ledger_away)?;
            report.resting.insert(place.as_str(), counts);
        }
        report.print(args.json)?;
        report.verdict(args.dry_run)
    };
    let done = done.await;
    ledger.close().await;
    done
}

async fn reseal(
    ledger: &Ledger,
    sealer: &Sealer,
    report: &mut Report,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    for place in SealedColumn::ALL {
        let mut after = None;
        loop {
            if stop.is_cancelled() {
                return Err(Failure::Later(anyhow!("stopped before the end: run it again")));
            }
            let turn = ledger.reseal(sealer, place, after.as_deref(), BATCH).await;
            let turn = turn.map_err(parts::ledger_away)?;
            report.resealed += turn.resealed;
            for (why, count) in turn.unopened {
                *report.unopened.entry(format!("{}: {why}", place.as_str())).or_default() += count;
            }
            let Some(last) = turn.last else { break };
            after = Some(last);
            // With stderr gone there is nobody to show anything to.
            writeln!(std::io::stderr(), "{} sealed anew", report.resealed).unwrap_or_default();
        }
    }
    Ok(())
}

/// What rests under which key.
#[derive(Debug, Default, Serialize)]
struct Report {
    first_key: String,
    resealed: u64,
    /// By place, then by key.
    resting: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Values that no key opens, by place and reason.
    unopened: BTreeMap<String, u64>,
}

impl Report {
    /// Values under other keys than the first.
    fn others(&self) -> u64 {
        let all = self.resting.values().flatten();
        all.filter(|(key, _)| **key != self.first_key).map(|(_, count)| count).sum()
    }

    fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        output::line(&format!("sealed anew with key `{}`: {}", self.first_key, self.resealed))?;
        let rows: Vec<Vec<String>> = self
            .resting
            .iter()
            .flat_map(|(place, keys)| keys.iter().map(move |(key, count)| (place, key, count)))
            .map(|(place, key, count)| {
                let key = if key.is_empty() { "(no sealed text)" } else { key };
                vec![(*place).to_owned(), key.to_owned(), count.to_string()]
            })
            .collect();
        output::table(&["WHAT", "KEY", "COUNT"], &rows)?;
        for (why, count) in &self.unopened {
            output::line(&format!("{count} values are left as they are: {why}"))?;
        }
        if self.others() == 0 { output::line(&dispensable(&self.first_key)) } else { Ok(()) }
    }

    fn verdict(&self, dry_run: bool) -> Result<(), Failure> {
        let unopened: u64 = self.unopened.values().sum();
        match (unopened, self.others()) {
            (0, 0) => Ok(()),
            (0, _) if dry_run => Ok(()),
            (0, others) => Err(Failure::Later(anyhow!(
                "{others} values were sealed with another key meanwhile: give every role the same first key, and run \
                 it again"
            ))),
            (unopened, _) => Err(Failure::Failed(anyhow!(
                "{unopened} values are opened by no key of SEAL_KEYS: add the key that is missing behind the others"
            ))),
        }
    }
}

fn dispensable(first: &str) -> String {
    let registrations = names::REGISTRATIONS_WORK;
    let parked = [names::REGISTRATIONS_WORK, names::REPLIES_WORK, names::NID_REPLIES].map(names::parked);
    format!(
        "Nothing in the ledger needs another key than `{first}`. The others can be taken out of SEAL_KEYS as soon as what \
         was sealed before is gone from\n  the queues {registrations} and {registrations}.wait.*, {} and {}\n  the spool \
         (FRONT_SPOOL) of every front\n  and the backups of the ledger that you want to be able to use",
        parked.join(", "),
        names::UNROUTED,
    )
}
