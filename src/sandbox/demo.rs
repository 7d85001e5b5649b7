//! `nidbridge demo`: the whole bridge on one machine, with both of its sides simulated.
//!
//! It runs a private RabbitMQ node in a directory of its own, SQLite, all roles, a simulated
//! OpenCRVS that loses answers and submits again, and a simulated ID system that rejects, repeats
//! itself and asks to be asked again later.
//!
//! Invariant: the accounts are made from what the simulated OpenCRVS and ID system saw. The ledger
//! is asked only for the records about which an operator was told (parked). A submission that
//! nobody can explain counts as lost.

mod accounts;
mod settings;
mod world;

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use accounts::Accounts;
use world::DemoWorld;

use crate::config::{self, Part, Sources};
use crate::operate::output;
use crate::roles::{Failure, shutdown};
use crate::sandbox::opencrvs::{Generations, RunOptions, SimulateError};
use crate::telemetry;

/// The whole bridge on one machine, with both of its sides simulated.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Number of registrations. Without it, the demo runs until Ctrl-C.
    #[arg(long, value_name = "COUNT")]
    pub registrations: Option<u64>,
    /// Print the summary as one line of JSON on stdout at the end.
    #[arg(long)]
    pub json: bool,
    /// Registrations per second; 0 submits as fast as the bridge answers.
    #[arg(long, default_value_t = 25.0, value_name = "PER SECOND")]
    pub rate: f64,
    /// The same seed makes the same families, faults and IDs.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The generation or release of OpenCRVS that the records belong to.
    #[arg(long, value_enum, default_value_t)]
    pub opencrvs: Generations,
    /// Keep OpenCRVS waiting for the answer, as `FRONT_WAIT` does: 3s, or birth=3s,death=1s.
    #[arg(long, value_name = "WAIT", default_value = "", hide_default_value = true)]
    pub wait: String,
    /// Seconds without any change after which open submissions count as lost.
    #[arg(long, default_value_t = 90, value_name = "SECONDS")]
    pub patience: u64,
}

/// Runs the demo and prints its accounts; fails if the accounts do not hold up.
pub async fn run(args: DemoArgs) -> Result<(), Failure> {
    let guard = telemetry::init(&logs()?, "demo").context("logs and traces cannot be set up")?;
    let stop = shutdown::on_signal().context("signals cannot be handled")?;
    let accounts = play(&args, stop.clone()).await;
    let interrupted = stop.is_cancelled();
    guard.shutdown().await;
    let accounts = accounts?;
    if args.json {
        output::line(&serde_json::to_string(&accounts).context("the accounts cannot be written")?)?;
    }
    let all_came =
        args.registrations.is_none_or(|wanted| accounts.totals.registrations == wanted && accounts.open == 0);
    match (accounts.hold_up(), all_came) {
        (true, true) => Ok(()),
        (true, false) if interrupted => Err(Failure::Later(anyhow::anyhow!(
            "interrupted: {} of {} registrations came, and {} have no end yet",
            accounts.totals.registrations,
            args.registrations.unwrap_or_default(),
            accounts.open
        ))),
        (true | false, _) => Err(Failure::Failed(anyhow::anyhow!(
            "the bridge broke its promise, or the summary does not add up: see it above"
        ))),
    }
}

/// Hides the bridge's many log lines unless `LOG_FILTER` asks for them.
fn logs() -> Result<config::TelemetryConfig, Failure> {
    let mut environment = Sources::of_process(None).environment;
    environment.retain(|name, _| name.starts_with("LOG_") || name.starts_with("OTEL_"));
    environment.entry("LOG_FILTER".to_owned()).or_insert_with(|| "off".to_owned());
    let loaded = config::load(&Sources { file: None, environment }, Part::Tool)?;
    Ok(loaded.config.telemetry)
}

async fn play(args: &DemoArgs, stop: CancellationToken) -> anyhow::Result<Accounts> {
    anyhow::ensure!(args.rate.is_finite() && args.rate >= 0.0, "--rate must be 0 or more");
    print("starting a private RabbitMQ node (about ten seconds) …");
    let world = DemoWorld::start(args.seed, args.opencrvs, &args.wait).await?;
    print(&world.description());
    let begun = Instant::now();
    let load = RunOptions {
        registrations: args.registrations,
        rate: args.rate,
        seed: args.seed,
        generations: args.opencrvs,
        resubmit: 1.0,
        ..RunOptions::to(world.front.clone())
    };
    let submitting = stop.child_token();
    let submitted = tokio::spawn({
        let (opencrvs, submitting) = (world.opencrvs.clone(), submitting.clone());
        async move { opencrvs.run(load, submitting).await }
    });
    let accounts = watch(&world, submitted, begun, Duration::from_secs(args.patience), &stop).await;
    world.stop().await?;
    accounts
}

/// Watches until every registration has ended, nothing changes any more, or the user stops the
/// demo.
async fn watch(
    world: &DemoWorld,
    submitted: tokio::task::JoinHandle<Result<(), SimulateError>>,
    begun: Instant,
    patience: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<Accounts> {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let (mut last, mut moved) = (Accounts::default(), Instant::now());
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => {}
        }
        let done_submitting = submitted.is_finished();
        let now = world.accounts(begun.elapsed()).await?;
        show_progress(&now, begun.elapsed());
        if !now.same_as(&last) {
            (last, moved) = (now.clone(), Instant::now());
        }
        let settled = done_submitting && now.open == 0;
        let stuck = done_submitting && moved.elapsed() > patience;
        if settled || stuck || stop.is_cancelled() {
            submitted.await.context("the simulated registrars")??;
            let accounts = if stop.is_cancelled() { now } else { now.closed() };
            print(&accounts.summary());
            return Ok(accounts);
        }
        if let Some(fault) = world.fault() {
            anyhow::bail!("a role has failed: {fault}");
        }
    }
}

/// Overwrites one line on a terminal; elsewhere prints a line every five seconds.
fn show_progress(now: &Accounts, elapsed: Duration) {
    let line = now.line(elapsed.as_secs());
    let mut err = std::io::stderr().lock();
    let shown = if err.is_terminal() {
        write!(err, "\r\x1b[2K{line}").and_then(|()| err.flush())
    } else if elapsed.as_secs().is_multiple_of(5) {
        writeln!(err, "{line}")
    } else {
        Ok(())
    };
    // If stderr is closed, nobody can see the progress.
    shown.unwrap_or_default();
}

fn print(text: &str) {
    writeln!(std::io::stderr(), "\n{text}").unwrap_or_default();
}
