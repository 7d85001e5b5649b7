//! `nidbridge tokens replace`: exchanges a user's token for new record tokens, if the old ones
//! expired or auth's key was changed.
//!
//! Invariant: the user's token is read from a file, exchanged and forgotten; it is neither stored
//! nor shown. The intent of a write to OpenCRVS that began is kept.

mod replace;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{ArgGroup, Args, Subcommand};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::session::{self, Session, unless_stopped};
use super::tally::{Miss, Tally};
use super::{change, output};
use crate::domain::RecordId;
use crate::roles::{Failure, parts};
use replace::Replacement;

const REPLACE: &str = "\
Exchanges the token of an active user (of OpenCRVS 1.7 or newer) for a new token of each record, which takes the place of the \
old one. A registration that was parked for its token is resumed. One line for each record says what happened. You may run \
this again at any time.\n\n\
Exit codes: 0 each of them has a new token (or none needs one); 1 some have none, and it says which and why, or auth refuses the \
user's token; 69 auth, OpenCRVS's key or the ledger cannot be reached; 75 some were changed at the same moment, or it was \
stopped before the end: run it again.";

/// `nidbridge tokens …`
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Give registrations new record tokens, made from the token of an active user.
    #[command(after_help = REPLACE)]
    Replace(ReplaceArgs),
}

/// `nidbridge tokens replace`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["record", "all_orphaned"])))]
pub struct ReplaceArgs {
    /// A file that holds the user's token and nothing else.
    #[arg(long, value_name = "F")]
    pub subject_token_file: PathBuf,
    /// Replace the token of this record. May be given more than once.
    #[arg(long, value_name = "ID", value_parser = |id: &str| RecordId::parse(id))]
    pub record: Vec<RecordId>,
    /// Replace the tokens of all records whose token expires soon or was signed with a key that
    /// auth no longer has, and of all records that are parked for their token.
    #[arg(long)]
    pub all_orphaned: bool,
}

pub(crate) async fn run(command: TokensCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    let TokensCommand::Replace(args) = command;
    session::with_keys("tokens", file, async |session| replace(session, &args).await).await
}

async fn replace(session: &mut Session, args: &ReplaceArgs) -> Result<(), Failure> {
    let subject = subject(&args.subject_token_file)?;
    let sealer = session.sealer()?;
    let ledger = session.ledger(&format!("operator {}", change::account())).await?;
    let (keys, exchange) = parts::auth(&session.config)?;
    let mut replacement = Replacement {
        ledger,
        sealer,
        keys,
        exchange,
        subject,
        tally: Tally::default(),
        resumed: Vec::new(),
        woken: Vec::new(),
    };
    let done = unless_stopped(&session.stop, replacement.all(args)).await;
    replacement.publish_resumed(session).await;
    done?;
    let tally = replacement.tally;
    output::line(&format!(
        "replaced: {}, of these resumed: {}, not replaced: {}",
        tally.done(),
        replacement.resumed.len(),
        tally.missed()
    ))?;
    tally.verdict(|miss, count| match miss {
        Miss::TryAgain => format!("{count} were changed at the same moment: run it again"),
        Miss::Failed | Miss::Unavailable | Miss::Differs => {
            format!("{count} have no new token, for the reasons above")
        }
    })
}

fn subject(file: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.with_context(|| format!("--subject-token-file: {} cannot be read", file.display()))?;
    match text.trim() {
        "" => Err(Failure::Failed(anyhow!("--subject-token-file: {} is empty", file.display()))),
        token => Ok(SecretString::from(token)),
    }
}
