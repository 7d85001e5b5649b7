//! `nidbridge attempts`: lists and shows registrations, and resumes parked ones.
//!
//! Invariant: no personal data is shown. `list` and `show` only read; `resume` records who did it
//! and why.

mod list;
mod resume;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::causes::cause;
use super::change::ChangeArgs;
use super::session;
use crate::config;
use crate::domain::{AttemptId, Cause, State};
use crate::roles::Failure;

const SHOW: &str =
    "The timeline is the record's whole history: what was done, when, why, by which stage and by whom.";

const RESUME: &str = "\
A resumed attempt continues where it stopped: the ID system is asked again, or the answer is written to OpenCRVS, after \
reading what OpenCRVS has. Remove the cause first (`nidbridge causes`). You may run this again: an attempt that is under \
way already is left alone.\n\n\
Exit codes: 0 all of them were resumed or are under way; 1 some could not be resumed, and it says which and why; 69 ledger \
or broker cannot be reached (what was resumed before that goes on by itself); 75 stopped before the end, run it again.";

/// `nidbridge attempts …`
#[derive(Debug, Subcommand)]
pub enum AttemptsCommand {
    /// List attempts, sorted by the expiry of their token.
    List(ListAttemptsArgs),
    /// Show a record, its attempts and its history.
    #[command(after_help = SHOW)]
    Show(ShowArgs),
    /// Resume parked attempts.
    #[command(after_help = RESUME)]
    Resume(ResumeArgs),
}

/// `nidbridge attempts list`
#[derive(Debug, Args)]
pub struct ListAttemptsArgs {
    /// List attempts in these states.
    #[arg(
        long,
        value_name = "STATES",
        value_delimiter = ',',
        default_value = "received,requested,answered,parked,held",
        value_parser = state
    )]
    pub state: Vec<State>,
    /// List only attempts with this cause.
    #[arg(long, value_name = "CAUSE", value_parser = cause)]
    pub cause: Option<Cause>,
    /// List only attempts of the office with this code.
    #[arg(long, value_name = "CODE")]
    pub office: Option<String>,
    /// List only attempts whose token has expired or expires within this time.
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    pub expiring_within: Option<Duration>,
    /// List at most this many attempts.
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    pub limit: usize,
    /// Count the attempts by state and cause instead of listing them.
    #[arg(long)]
    pub group: bool,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `nidbridge attempts show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A record id, a tracking id or an attempt id.
    pub name: String,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `nidbridge attempts resume`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Resume these attempts.
    #[arg(value_name = "ATTEMPT", required_unless_present = "cause", conflicts_with = "cause", value_parser = attempt)]
    pub attempts: Vec<AttemptId>,
    /// Resume all attempts that are parked with this cause.
    #[arg(long, value_name = "CAUSE", value_parser = cause)]
    pub cause: Option<Cause>,
    /// With --cause, resume at most this many attempts: those whose token expires first.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub limit: usize,
    #[command(flatten)]
    pub change: ChangeArgs,
}

pub(crate) async fn run(command: AttemptsCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    session::with_keys("attempts", file, async |session| match command {
        AttemptsCommand::List(args) => list::run(session, &args).await,
        AttemptsCommand::Show(args) => show::run(session, &args).await,
        AttemptsCommand::Resume(args) => resume::run(session, &args).await,
    })
    .await
}

fn state(text: &str) -> Result<State, String> {
    State::parse(text).ok_or_else(|| {
        let names: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
        format!("there is no such state: write some of {}", names.join(","))
    })
}

fn attempt(text: &str) -> Result<AttemptId, String> {
    AttemptId::parse(text)
        .map_err(|_| "that is no attempt id: `nidbridge attempts list` shows them".to_owned())
}
