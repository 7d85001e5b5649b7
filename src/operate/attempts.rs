//! `nidbridge attempts`: where registrations stand, why, for how long still; and letting go on what was parked.
//!
//! Invariant: nothing of a person is shown. `list` and `show` only read; `resume` leaves a trace of who and why.

mod list;
mod resume;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::causes::cause;
use crate::config;
use crate::domain::{AttemptId, Cause, State};
use crate::roles::{Failure, start};

const SHOW: &str =
    "The timeline is the record's whole history: what each stage did, when, why, and who it was.";

const RESUME: &str = "\
An attempt goes on where it stopped: it is asked about again, or OpenCRVS is told its answer, after reading what OpenCRVS \
has. Remove the cause first (`nidbridge causes`). It may be run again: what goes on already is left alone.\n\n\
Exit codes: 0 all of them go on; 1 some could not, and it says which and why; 69 ledger or broker cannot be reached; what \
was resumed before that is published by a worker's sweep.";

/// `nidbridge attempts …`
#[derive(Debug, Subcommand)]
pub enum AttemptsCommand {
    /// Lists attempts, those whose token dies first coming first.
    List(ListArgs),
    /// Shows what happened to a record, from its history.
    #[command(after_help = SHOW)]
    Show(ShowArgs),
    /// Lets parked attempts go on.
    #[command(after_help = RESUME)]
    Resume(ResumeArgs),
}

/// `nidbridge attempts list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The states that are listed.
    #[arg(
        long,
        value_name = "STATES",
        value_delimiter = ',',
        default_value = "received,requested,answered,parked,held",
        value_parser = state
    )]
    pub state: Vec<State>,
    /// Only those of this cause.
    #[arg(long, value_name = "CAUSE", value_parser = cause)]
    pub cause: Option<Cause>,
    /// Only those of this office, by its code.
    #[arg(long, value_name = "CODE")]
    pub office: Option<String>,
    /// Only those whose token dies within this time, or is dead.
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    pub expiring_within: Option<Duration>,
    /// How many, at most.
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    pub limit: usize,
    /// Count them by state and cause instead.
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
    /// The attempts.
    #[arg(value_name = "ATTEMPT", required_unless_present = "cause", conflicts_with = "cause", value_parser = attempt)]
    pub attempts: Vec<AttemptId>,
    /// All that are parked for this cause.
    #[arg(long, value_name = "CAUSE", value_parser = cause)]
    pub cause: Option<Cause>,
    /// With --cause: how many, at most; those whose token dies first come first.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub limit: usize,
    /// Why, for the record's history.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", value_parser = reason)]
    pub reason: Option<String>,
    /// Who, for the record's history; the name of the account without it.
    #[arg(long, value_name = "NAME", value_parser = reason)]
    pub by: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

pub(crate) async fn run(command: AttemptsCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    let body = async move |config: std::sync::Arc<config::Config>, stop| match command {
        AttemptsCommand::List(args) => list::run(&config, &args).await,
        AttemptsCommand::Show(args) => show::run(&config, &args).await,
        AttemptsCommand::Resume(args) => resume::run(&config, &args, &stop).await,
    };
    start::operation("attempts", file, body).await
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

/// History is shown on terminals.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let usable = !text.is_empty() && text.chars().count() <= 500 && !text.chars().any(char::is_control);
    if usable { Ok(text.to_owned()) } else { Err("write one line of up to 500 characters".to_owned()) }
}
