//! The command line: which command runs what.
//!
//! Invariant: results go to stdout, everything else to stderr, and the exit code tells a script
//! what to do next.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::Part;
use crate::operate::{
    attempts, causes, config, healthcheck, opencrvs, output, queue, reconcile, recover, seal, spool, tokens,
    topology,
};
use crate::roles::{Failure, all, confirmer, front, start, worker};
use crate::sandbox::{demo, simulate};

/// Time limit for background tasks to end when the process ends.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(1);

/// Carries civil registrations from OpenCRVS to a National ID system and the answers back.
#[derive(Debug, Parser)]
#[command(name = "nidbridge", version, arg_required_else_help = true, after_help = crate::roles::EXIT_CODES)]
pub struct Cli {
    /// A TOML file with settings. Environment variables override it.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a front: accept registrations from OpenCRVS over HTTP.
    Front,
    /// Run a worker: record registrations, ask the National ID system and process its replies.
    Worker {
        /// Run only these stages, to scale them separately.
        #[arg(long, value_delimiter = ',', default_value = "record,send,resolve,sweep")]
        stages: Vec<worker::WorkerStage>,
    },
    /// Run a confirmer: write the answers to OpenCRVS.
    Confirmer,
    /// Run front, worker and confirmer in one process, for a small country.
    All,
    /// Try the whole bridge on this machine, with a simulated OpenCRVS and a simulated ID system.
    Demo(demo::DemoArgs),
    /// Simulate OpenCRVS or an ID system: a sandbox for integrators.
    #[command(subcommand)]
    Simulate(simulate::Simulate),
    /// Fill the queues of an empty broker from the ledger. May be run at any time.
    Recover(recover::RecoverArgs),
    /// List and show registrations (attempts), resume them, or decide them by hand.
    #[command(subcommand)]
    Attempts(attempts::AttemptsCommand),
    /// Explain each cause and what to do about it (the runbook).
    Causes(causes::CausesArgs),
    /// Compare the registrations that have not ended with what waits in OpenCRVS.
    Reconcile(reconcile::ReconcileArgs),
    /// Show the bridge's own client in OpenCRVS.
    #[command(subcommand)]
    Opencrvs(opencrvs::OpencrvsCommand),
    /// List and replay messages that could not be recorded (parking queues).
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Encrypt the ledger with a new key.
    #[command(subcommand)]
    Seal(seal::SealCommand),
    /// Declare, check or print the exchanges and queues of the broker.
    #[command(subcommand)]
    Topology(topology::TopologyCommand),
    /// Publish what a front stored on disk while the broker was away.
    #[command(subcommand)]
    Spool(spool::SpoolCommand),
    /// Replace record tokens that have expired, or that were signed with a key that auth no longer
    /// uses.
    #[command(subcommand)]
    Tokens(tokens::TokensCommand),
    /// Show, list or check the settings.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Check that the process in this container answers on `ADMIN_LISTEN`, for container probes.
    Healthcheck,
    /// Print the version.
    Version,
}

/// Runs the command and returns the exit code of the process.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return Failure::Failed(cause.into()).report(),
    };
    let done = runtime.block_on(Box::pin(dispatch(cli)));
    runtime.shutdown_timeout(SHUTDOWN_WAIT);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let file = cli.config;
    match cli.command {
        Command::Front => start::role("front", Part::Front, file, front::run).await,
        Command::Worker { stages } => {
            let run = async move |process| worker::run(process, &stages).await;
            start::role("worker", Part::Worker, file, run).await
        }
        Command::Confirmer => start::role("confirmer", Part::Confirmer, file, confirmer::run).await,
        Command::All => Box::pin(start::role("all", Part::All, file, all::run)).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Simulate(what) => simulate::run(what, file).await,
        Command::Recover(args) => recover::run(args, file).await,
        Command::Attempts(what) => attempts::run(what, file).await,
        Command::Causes(args) => causes::run(&args),
        Command::Reconcile(args) => reconcile::run(args, file).await,
        Command::Opencrvs(what) => opencrvs::run(what, file).await,
        Command::Queue(what) => queue::run(what, file).await,
        Command::Seal(what) => seal::run(what, file).await,
        Command::Topology(what) => topology::run(what, file).await,
        Command::Spool(what) => spool::run(what, file).await,
        Command::Tokens(what) => tokens::run(what, file).await,
        Command::Config(what) => config::run(what, file).await,
        Command::Healthcheck => healthcheck::run(file),
        Command::Version => output::line(concat!("nidbridge ", env!("CARGO_PKG_VERSION"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_file_may_be_named_before_or_after_the_command() {
        for line in
            [["nidbridge", "--config", "a.toml", "version"], ["nidbridge", "version", "--config", "a.toml"]]
        {
            assert_eq!(Cli::try_parse_from(line).unwrap().config, Some(PathBuf::from("a.toml")));
        }
        assert_eq!(Cli::try_parse_from(["nidbridge", "frnt"]).unwrap_err().exit_code(), 2);
    }
}
