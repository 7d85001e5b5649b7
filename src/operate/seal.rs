//! `nidbridge seal rotate`: seals everything in the ledger again with the first of `SEAL_KEYS`.
//!
//! Invariant: the command may be stopped, repeated, and run while the roles run. It says that the
//! other keys can be removed only if nothing in the ledger is sealed with them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::output;
use super::session::{self, Session};
use super::tally::{Miss, Tally};
use crate::ledger::{Ledger, SealedColumn};
use crate::pipeline::names;
use crate::roles::Failure;
use crate::seal::Sealer;

/// Values that are sealed between two reports of progress.
const BATCH: usize = 500;

const ROTATE: &str = "\
How to change the key without a stop:\n\
  1. add the new key at the end of SEAL_KEYS of every front, worker and confirmer, and restart them: now all of them can open \
what it seals;\n\
  2. move it to the first place everywhere, and restart them: from now on it seals;\n\
  3. run this command with the same SEAL_KEYS, until it says that nothing in the ledger needs another key;\n\
  4. wait until the queues and spools that it names are empty, then take the old key out and restart.\n\n\
Exit codes: 0 everything is sealed with the first key; 1 no key opens some values, which are counted by reason; 69 the \
ledger cannot be reached; 75 run it again: it was stopped before the end, or values \
were sealed with another key meanwhile; 78 SEAL_KEYS does not open this ledger.";

/// `nidbridge seal …`
#[derive(Debug, Subcommand)]
pub enum SealCommand {
    /// Encrypt the ledger with the first of `SEAL_KEYS`, and say which keys can be removed.
    #[command(after_help = ROTATE)]
    Rotate(RotateArgs),
}

/// `nidbridge seal rotate`
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Change nothing: only count what is sealed with which key.
    #[arg(long)]
    pub dry_run: bool,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

pub(crate) async fn run(command: SealCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    let SealCommand::Rotate(args) = command;
    session::with_keys("seal", file, async |session| rotate(session, &args).await).await
}

async fn rotate(session: &mut Session, args: &RotateArgs) -> Result<(), Failure> {
    let sealer = session.sealer()?;
    let first_key = sealer.first_key().context("SEAL_KEYS is empty")?.to_owned();
    let ledger = session.ledger("seal").await?;
    let mut report = RotationReport { first_key, ..RotationReport::default() };
    if !args.dry_run {
        reseal(session, &ledger, &sealer, &mut report).await?;
    }
    for column in SealedColumn::ALL {
        report.resting.insert(column.as_str(), ledger.sealed_counts(column).await?);
    }
    report.print(args.json)?;
    report.verdict(args.dry_run)
}

async fn reseal(
    session: &Session,
    ledger: &Ledger,
    sealer: &Sealer,
    report: &mut RotationReport,
) -> Result<(), Failure> {
    for column in SealedColumn::ALL {
        let mut after = None;
        loop {
            session.check_stop()?;
            let batch = ledger.reseal(sealer, column, after.as_deref(), BATCH).await?;
            report.resealed += batch.resealed;
            for (why, count) in batch.unopened {
                *report.unopened.entry(format!("{}: {why}", column.as_str())).or_default() += count;
            }
            let Some(last) = batch.last else { break };
            after = Some(last);
            output::progress(&format!("{} sealed anew", report.resealed));
        }
    }
    Ok(())
}

/// What is sealed with which key.
#[derive(Debug, Default, Serialize)]
struct RotationReport {
    first_key: String,
    resealed: u64,
    /// Sealed values by column, then by key.
    resting: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Values that no key opens, by column and reason.
    unopened: BTreeMap<String, u64>,
}

impl RotationReport {
    /// Number of values that are sealed with another key than the first.
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
            .flat_map(|(column, keys)| keys.iter().map(move |(key, count)| (column, key, count)))
            .map(|(column, key, count)| {
                let key = if key.is_empty() { "(no sealed text)" } else { key };
                vec![(*column).to_owned(), key.to_owned(), count.to_string()]
            })
            .collect();
        output::table(&["WHAT", "KEY", "COUNT"], &rows)?;
        for (why, count) in &self.unopened {
            output::line(&format!("{count} values are left as they are: {why}"))?;
        }
        if self.others() == 0 { output::line(&other_keys_can_go(&self.first_key)) } else { Ok(()) }
    }

    fn verdict(&self, dry_run: bool) -> Result<(), Failure> {
        let mut tally = Tally::default();
        tally.add_missed(Miss::Failed, self.unopened.values().sum());
        if !dry_run {
            tally.add_missed(Miss::TryAgain, self.others());
        }
        tally.verdict(|miss, count| match miss {
            Miss::TryAgain => format!(
                "{count} values were sealed with another key meanwhile: give every role the same first key, and run it again"
            ),
            Miss::Failed | Miss::Unavailable | Miss::Differs => {
                format!("no key of SEAL_KEYS opens {count} values: add the missing key behind the others")
            }
        })
    }
}

fn other_keys_can_go(first: &str) -> String {
    let registrations = names::REGISTRATIONS_WORK;
    let parked =
        [names::REGISTRATIONS_WORK, names::REPLIES_WORK, names::NID_REPLIES].map(names::parking_queue);
    format!(
        "Nothing in the ledger needs another key than `{first}`. The others can be taken out of SEAL_KEYS as soon as what \
         was sealed before is gone from\n  the queues {registrations} and {registrations}.wait.*, {}, {} and {} (after 48 hours)\n  \
         the spool (FRONT_SPOOL) of every front\n  and the backups of the ledger that you want to be able to use",
        parked.join(", "),
        names::UNROUTED,
        names::requests_sent(names::AMQP_SYSTEM),
    )
}
