//! `nidbridge tokens replace`: fresh record tokens for registrations whose own died or lost their key.
//!
//! Invariant: the operator's token is read from a file, exchanged and forgotten; it is neither kept nor shown. What is
//! known of a write to OpenCRVS that was begun stays as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::{ArgGroup, Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::output;
use crate::config::Config;
use crate::confirmer::token_of;
use crate::domain::{AttemptId, Dialect, RecordId, State};
use crate::ledger::{Case, Ledger, Replaced};
use crate::opencrvs::{KeyStore, RenewalFault, TokenExchange, action_of};
use crate::pipeline::NextHop;
use crate::pipeline::stage::chain;
use crate::roles::{Failure, parts, start};
use crate::seal::{Field, Sealer};

/// Attempts that are read at a time.
const PAGE: usize = 200;

const REPLACE: &str = "\
Exchanges the token of an active user (of OpenCRVS 1.7 or newer) for a fresh token of each record and puts that in the \
place of the old one. A registration that was parked for its token goes on; what happened to each is told, a line a \
record. It may be run again at any time.\n\n\
Exit codes: 0 each of them has a fresh token (or none is in need of one); 1 some have none, as told, or auth refuses \
the user's token; 69 auth, OpenCRVS's key or the ledger cannot be reached; 75 some were changed at the same moment: \
run it again.";

/// `nidbridge tokens …`
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Gives registrations fresh record tokens, out of the token of an active user.
    #[command(after_help = REPLACE)]
    Replace(ReplaceArgs),
}

/// `nidbridge tokens replace`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["record", "all_orphaned"])))]
pub struct ReplaceArgs {
    /// The file that holds the user's token, and nothing else.
    #[arg(long, value_name = "F")]
    pub subject_token_file: PathBuf,
    /// Only this record; may be given more than once.
    #[arg(long, value_name = "ID", value_parser = |id: &str| RecordId::parse(id))]
    pub record: Vec<RecordId>,
    /// All whose token is of a key that auth has no more or is about to die, and all that are parked for their token.
    #[arg(long)]
    pub all_orphaned: bool,
}

pub(crate) async fn run(command: TokensCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    let TokensCommand::Replace(args) = command;
    start::operation("tokens", file, async |config, stop| {
        let subject = subject(&args.subject_token_file)?;
        let sealer = parts::sealer(&config)?;
        let ledger =
            parts::operators_ledger(&config, &format!("operator {}", parts::account()), &sealer).await?;
        let (keys, exchange) = parts::auth(&config)?;
        let mut replacing =
            Replacing { ledger: ledger.clone(), sealer, keys, exchange, subject, told: Told::default() };
        let done = tokio::select! {
            done = replacing.all(&args) => done,
            () = stop.cancelled() => Err(Failure::Later(anyhow!("stopped before the end: run it again"))),
        };
        replacing.go_on(&config).await;
        ledger.close().await;
        done.and_then(|()| replacing.told.verdict())
    })
    .await
}

fn subject(file: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.with_context(|| format!("--subject-token-file: {} cannot be read", file.display()))?;
    match text.trim() {
        "" => Err(Failure::Failed(anyhow!("--subject-token-file: {} is empty", file.display()))),
        token => Ok(SecretString::from(token)),
    }
}

/// What is told at the end.
#[derive(Debug, Default)]
struct Told {
    replaced: usize,
    failed: usize,
    moved: usize,
    resumed: Vec<AttemptId>,
}

impl Told {
    fn verdict(&self) -> Result<(), Failure> {
        output::line(&format!(
            "replaced: {}, of these resumed: {}, not replaced: {}",
            self.replaced,
            self.resumed.len(),
            self.failed + self.moved
        ))?;
        match (self.failed, self.moved) {
            (0, 0) => Ok(()),
            (0, moved) => {
                Err(Failure::Later(anyhow!("{moved} were changed at the same moment: run it again")))
            }
            (failed, _) => Err(Failure::Failed(anyhow!("{failed} have no fresh token, as told above"))),
        }
    }
}

struct Replacing {
    ledger: Ledger,
    sealer: Arc<Sealer>,
    keys: KeyStore,
    exchange: TokenExchange,
    subject: SecretString,
    told: Told,
}

impl Replacing {
    async fn all(&mut self, args: &ReplaceArgs) -> Result<(), Failure> {
        for record in &args.record {
            match self.ledger.newest(record).await.map_err(parts::ledger_away)? {
                Some(case) => self.one(&case).await?,
                None => self.fails(record, "the ledger does not have this record")?,
            }
        }
        if args.all_orphaned { self.every_one_in_need().await } else { Ok(()) }
    }

    async fn every_one_in_need(&mut self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.ledger.in_need_of_a_token(after, PAGE).await.map_err(parts::ledger_away)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(*last);
            for attempt in page {
                if let Some(case) = self.ledger.case(attempt).await.map_err(parts::ledger_away)? {
                    self.one(&case).await?;
                }
            }
        }
    }

    async fn one(&mut self, case: &Case) -> Result<(), Failure> {
        let (record, state) = (&case.record.id, case.attempt.state);
        if !state.is_open() && state != State::Parked {
            return self.fails(record, &format!("needs no token: its newest attempt is {}", state.as_str()));
        }
        // In the events generation the token is for an action, which only the old one names.
        let action = token_of(&self.sealer, case).ok().as_ref().and_then(action_of);
        if action.is_none() && case.record.dialect == Dialect::Events {
            return self
                .fails(record, "its old token does not open, and only that names the action: see SEAL_KEYS");
        }
        let renewed = self.exchange.renew(&self.keys, record, action.as_ref(), &self.subject).await;
        let fresh = match renewed {
            Ok(fresh) => fresh,
            Err(RenewalFault::Refused) => {
                return Err(Failure::Failed(anyhow!(
                    "auth refuses the user's token: take a new one, of a user who is active and logged in now"
                )));
            }
            Err(fault) if fault.is_transient() => return Err(Failure::Unavailable(anyhow!(fault))),
            Err(fault) => return self.fails(record, &chain(&fault)),
        };
        let plain = fresh.raw.expose_secret().as_bytes();
        let sealed = self.sealer.seal(record, Field::Token, plain).context("the token cannot be sealed")?;
        let until = fresh.expires_at;
        match self.ledger.replaced(case, &sealed, until).await.map_err(parts::ledger_away)? {
            Replaced::Done => {
                self.told.replaced += 1;
                output::line(&format!("{record}: has a token until {until}"))
            }
            Replaced::Resumed => {
                self.told.replaced += 1;
                self.told.resumed.push(case.attempt.id);
                output::line(&format!("{record}: has a token until {until} and goes on"))
            }
            Replaced::Moved => {
                self.told.moved += 1;
                output::line(&format!("{record}: was changed at the same moment"))
            }
        }
    }

    fn fails(&mut self, record: &RecordId, why: &str) -> Result<(), Failure> {
        self.told.failed += 1;
        output::line(&format!("{record}: {why}"))
    }

    /// Publishes what was resumed. It is in the ledger as resumed already: without a broker, the sweeper publishes it.
    async fn go_on(&self, config: &Config) {
        if self.told.resumed.is_empty() {
            return;
        }
        let link = match parts::operators_link(config).await {
            Ok(link) => link,
            Err(why) => {
                tracing::warn!(error = %why, "what was resumed goes on with a later sweep");
                return;
            }
        };
        let next = parts::next_hop(config, &self.ledger, &link);
        for attempt in &self.told.resumed {
            if let Err(why) = self.publish(&next, *attempt).await {
                tracing::warn!(attempt.id = %attempt, error = why, "it goes on with a later sweep");
            }
        }
        link.close().await;
    }

    async fn publish(&self, next: &NextHop, attempt: AttemptId) -> Result<(), String> {
        let case = self.ledger.case(attempt).await.map_err(|fault| chain(&fault))?;
        match case {
            Some(case) => next.drive(&case).await.map_err(|fault| chain(&fault)),
            None => Ok(()),
        }
    }
}
