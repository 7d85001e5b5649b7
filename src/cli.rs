//! The command line, and how each process is put together.
//!
//! Invariant: this is the only place that knows all parts; data goes to stdout, everything else to stderr, and the
//! exit code tells a script what to do next.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::Part;
use crate::operate::{
    attempts, causes, config, healthcheck, output, queue, reconcile, recover, seal, spool, tokens, topology,
};
use crate::roles::{Failure, all, confirmer, front, start, worker};
use crate::sandbox::{demo, simulate};

/// How long what still runs in the background may hold up the end of a process.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Carries civil registrations from OpenCRVS to a National ID system and the answers back.
#[derive(Debug, Parser)]
#[command(name = "nidbridge", version, arg_required_else_help = true, after_help = crate::roles::EXIT_CODES)]
pub struct Cli {
    /// The TOML file with settings; the environment stands over it.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Takes registrations from OpenCRVS over HTTP.
    Front,
    /// Puts registrations on record, asks the National ID system and takes its replies in.
    Worker {
        /// Only these stages, so that they scale apart.
        #[arg(long, value_delimiter = ',', default_value = "record,send,resolve,sweep")]
        stages: Vec<worker::WorkerStage>,
    },
    /// Tells OpenCRVS.
    Confirmer,
    /// Front, worker and confirmer in one process, for a small country.
    All,
    /// The whole bridge on this machine, with both of its sides simulated.
    Demo(demo::DemoArgs),
    /// Stand-ins for the surroundings: a sandbox for integrators.
    #[command(subcommand)]
    Simulate(simulate::Simulate),
    /// Fills the queues of an empty broker from the ledger; it may be run again at any time.
    Recover(recover::RecoverArgs),
    /// Where registrations stand, why, and for how long still.
    #[command(subcommand)]
    Attempts(attempts::AttemptsCommand),
    /// What each cause means and what to do about it: the runbook.
    Causes(causes::CausesArgs),
    /// Compares what is open here with what waits in OpenCRVS, and changes nothing.
    Reconcile(reconcile::ReconcileArgs),
    /// Messages that could not be recorded, in the queues ….parked.
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// What the ledger keeps sealed.
    #[command(subcommand)]
    Seal(seal::SealCommand),
    /// Exchanges and queues on the broker.
    #[command(subcommand)]
    Topology(topology::TopologyCommand),
    /// Registrations that a front put on its disk while the broker was away.
    #[command(subcommand)]
    Spool(spool::SpoolCommand),
    /// The tokens that registrations are answered with.
    #[command(subcommand)]
    Tokens(tokens::TokensCommand),
    /// The settings.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Asks the process of this container whether it lives, on its admin listener.
    Healthcheck,
    /// The release.
    Version,
}

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return Failure::Failed(cause.into()).report(),
    };
    let done = runtime.block_on(Box::pin(dispatch(cli)));
    runtime.shutdown_timeout(LAST_WAIT);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let file = cli.config;
    match cli.command {
        Command::Front => start::role(("front", Part::Front), file, front::run).await,
        Command::Worker { stages } => {
            let run = async move |process| worker::run(process, &stages).await;
            start::role(("worker", Part::Worker), file, run).await
        }
        Command::Confirmer => start::role(("confirmer", Part::Confirmer), file, confirmer::run).await,
        Command::All => Box::pin(start::role(("all", Part::All), file, all::run)).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Simulate(what) => simulate::run(what, file).await,
        Command::Recover(args) => recover::run(args, file).await,
        Command::Attempts(what) => attempts::run(what, file).await,
        Command::Causes(args) => causes::run(&args),
        Command::Reconcile(args) => reconcile::run(args, file).await,
        Command::Queue(what) => queue::run(what, file).await,
        Command::Seal(what) => seal::run(what, file).await,
        Command::Topology(what) => topology::run(what, file).await,
        Command::Spool(what) => spool::run(what, file).await,
        Command::Tokens(what) => tokens::run(what, file).await,
        Command::Config(what) => config::run(what, file),
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
