//! `nidbridge demo`: the whole bridge on one machine, with both of its sides simulated.
//!
//! A private RabbitMQ node in a directory of its own, SQLite, all roles, a simulated OpenCRVS that loses answers and
//! submits again, a simulated ID system that rejects, repeats itself and asks to be asked later.
//!
//! Invariant: the accounts are made of what the simulated OpenCRVS and ID system saw; the ledger is asked only for
//! what an operator was told of (parked), and what nobody can explain is lost.

mod accounts;
mod stage;

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

pub use accounts::Accounts;
use stage::Stage;

use crate::simulate::opencrvs::RunOptions;

/// The whole bridge on one machine, with both of its sides simulated.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// How many registrations; without it, until Ctrl-C.
    #[arg(long, value_name = "COUNT")]
    pub registrations: Option<u64>,
    /// Print the accounts as one line of JSON on stdout at the end.
    #[arg(long)]
    pub json: bool,
    /// How many registrations a second; 0 is as fast as the bridge answers.
    #[arg(long, default_value_t = 25.0, value_name = "PER SECOND")]
    pub rate: f64,
    /// The same seed makes the same families, faults and IDs.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long nothing may move before what is still open counts as lost.
    #[arg(long, default_value_t = 90, value_name = "SECONDS")]
    pub patience: u64,
}

/// Runs the demo; the accounts at its end.
///
/// # Errors
/// When the node or a role cannot be started, or a role fails.
pub async fn run(args: &DemoArgs, stop: CancellationToken) -> anyhow::Result<Accounts> {
    anyhow::ensure!(args.rate.is_finite() && args.rate >= 0.0, "--rate must be 0 or more");
    tell("starting a private RabbitMQ node (about ten seconds) …");
    let stage = Stage::set(args.seed).await?;
    tell(&stage.description());
    let begun = Instant::now();
    let load = RunOptions {
        registrations: args.registrations,
        rate: args.rate,
        seed: args.seed,
        resubmit: 1.0,
        ..RunOptions::to(stage.front.clone())
    };
    let submitting = stop.child_token();
    let submitted = tokio::spawn({
        let (opencrvs, submitting) = (stage.opencrvs.clone(), submitting.clone());
        async move { opencrvs.run(load, submitting).await }
    });
    let accounts = watch(&stage, submitted, begun, Duration::from_secs(args.patience), &stop).await;
    stage.strike().await?;
    accounts
}

/// Watches until every registration has its end, nothing moves any more, or the user has had enough.
async fn watch(
    stage: &Stage,
    submitted: tokio::task::JoinHandle<Result<(), crate::simulate::opencrvs::SimulateError>>,
    begun: Instant,
    patience: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<Accounts> {
    let mut progress = Progress { terminal: std::io::stderr().is_terminal() };
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let (mut last, mut moved) = (Accounts::default(), Instant::now());
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => {}
        }
        let done_submitting = submitted.is_finished();
        let now = stage.accounts(begun.elapsed()).await?;
        progress.show(&now, begun.elapsed());
        if !now.same_as(&last) {
            (last, moved) = (now.clone(), Instant::now());
        }
        let settled = done_submitting && now.open == 0;
        let stuck = done_submitting && moved.elapsed() > patience;
        if settled || stuck || stop.is_cancelled() {
            submitted.abort();
            let accounts = if stop.is_cancelled() { now } else { now.closed() };
            tell(&accounts.summary());
            return Ok(accounts);
        }
        if let Some(fault) = stage.fault() {
            anyhow::bail!("a role has failed: {fault}");
        }
    }
}

struct Progress {
    terminal: bool,
}

impl Progress {
    /// One line that is written over on a terminal, one line every five seconds elsewhere.
    fn show(&mut self, now: &Accounts, elapsed: Duration) {
        let line = now.line(elapsed.as_secs());
        let mut err = std::io::stderr().lock();
        let shown = if self.terminal {
            write!(err, "\r\x1b[2K{line}").and_then(|()| err.flush())
        } else if elapsed.as_secs().is_multiple_of(5) {
            writeln!(err, "{line}")
        } else {
            Ok(())
        };
        // With stderr gone there is nobody to show anything to.
        shown.unwrap_or_default();
    }
}

fn tell(text: &str) {
    writeln!(std::io::stderr(), "\n{text}").unwrap_or_default();
}

/// The accounts as one line.
///
/// # Errors
/// Never in practice: counts and a duration always serialise.
pub fn json(accounts: &Accounts) -> anyhow::Result<String> {
    serde_json::to_string(accounts).context("the accounts cannot be written")
}
