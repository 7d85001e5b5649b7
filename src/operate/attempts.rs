//! `nidbridge attempts`: lists and shows registrations, resumes parked ones, and lets an operator
//! decide them by hand.
//!
//! Invariant: no personal data is shown. `list` and `show` only read; `resume` and `decide` record
//! who did it and why.

mod decide;
mod list;
mod resume;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::causes::cause;
use super::change::{ChangeArgs, one_line};
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

const DECIDE: &str = "\
Decisions (--as):\n\
  issued      the ID system has issued the ID in --id-file (births; one attempt at a time)\n\
  recorded    the ID system has recorded the death\n\
  without-id  register the record in OpenCRVS without an ID; OpenCRVS 1.x also gets --comment\n\
  reject      reject the record in OpenCRVS (events generation only)\n\
  policy      apply the confirmer's present CONFIRM_NEGATIVE to the negative answer\n\
  ask-again   ask the ID system again, under a new submission number if it has replied to the old one; refused if the\n              request would be past its own expiry (NID_DEADLINE, or the end of the token)\n\
  close       do nothing more: the registration was handled elsewhere\n\n\
The command changes the ledger and notifies the next stage. Only the confirmer writes to OpenCRVS, after its usual checks. \
An attempt can be decided while it is held, parked, received or requested; one that is answered or expired can only be \
closed. An ID is refused if another record has it, and an ID that was issued is never dropped. More than one \
attempt is decided only with --yes; without it, the command says what it would do.\n\n\
Exit codes: 0 all of them were decided, or would be; 1 some could not be decided, and it says which and why; 69 ledger or \
broker cannot be reached (what was decided before that goes on by itself); 75 some are being written at this moment, or it was \
stopped before the end: run it again.";

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
    /// Decide attempts by hand: answer them, have the ID system asked again, or close them.
    #[command(after_help = DECIDE)]
    Decide(DecideArgs),
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
    /// A record id, a request id, an attempt id, a tracking id or a registration number.
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

/// `nidbridge attempts decide`
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// Decide these attempts.
    #[arg(value_name = "ATTEMPT", required_unless_present_any = ["cause", "state"], conflicts_with_all = ["cause", "state", "office"], value_parser = attempt)]
    pub attempts: Vec<AttemptId>,
    /// The decision; they are explained below.
    #[arg(long = "as", value_name = "DECISION")]
    pub decision: DecideAs,
    /// Decide the attempts in these states (with --cause alone: held and parked).
    #[arg(long, value_name = "STATES", value_delimiter = ',', value_parser = state)]
    pub state: Vec<State>,
    /// Decide the attempts with this cause.
    #[arg(long, value_name = "CAUSE", value_parser = cause)]
    pub cause: Option<Cause>,
    /// With --state or --cause, only those of the office with this code.
    #[arg(long, value_name = "CODE")]
    pub office: Option<String>,
    /// With --state or --cause, decide at most this many: those whose token expires first.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub limit: usize,
    /// With --as issued: a file that holds the ID and nothing else (a byte order mark is ignored);
    /// `-` reads it from the standard input.
    #[arg(long, value_name = "FILE", required_if_eq("decision", "issued"))]
    pub id_file: Option<PathBuf>,
    /// With --as without-id: the comment of the confirmation in OpenCRVS 1.x. The default is the
    /// setting `CONFIRM_COMMENT`.
    #[arg(long, value_name = "TEXT", value_parser = one_line)]
    pub comment: Option<String>,
    /// Confirm a decision about more than one attempt.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DecideAs {
    Issued,
    Recorded,
    WithoutId,
    Reject,
    Policy,
    AskAgain,
    Close,
}

pub(crate) async fn run(command: AttemptsCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    session::with_keys("attempts", file, async |session| match command {
        AttemptsCommand::List(args) => list::run(session, &args).await,
        AttemptsCommand::Show(args) => show::run(session, &args).await,
        AttemptsCommand::Resume(args) => resume::run(session, &args).await,
        AttemptsCommand::Decide(args) => decide::run(session, &args).await,
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
