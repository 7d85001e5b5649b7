//! The command line of the chaos test.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use nidbridge::sandbox::opencrvs::{Generations, Release};

use super::harness::temporary;

/// Runs the whole bridge under a seeded schedule of faults and draws up the accounts.
#[derive(Debug, Clone, Parser)]
#[command(name = "deploy/chaos")]
pub struct Options {
    /// Number of registrations.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub registrations: u64,
    /// The same seed makes the same families, the same schedule of faults and the same ID system.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The generation or release of OpenCRVS that the records belong to. With mixed and 2.0,
    /// OpenCRVS is upgraded to 2.1 in the middle of the run.
    #[arg(long, value_enum, default_value_t)]
    pub opencrvs: Generations,
    /// Print the accounts as one line of JSON on stdout at the end.
    #[arg(long)]
    pub json: bool,
    /// Number of RabbitMQ nodes: 3 for a cluster, 1 for a single node.
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub nodes: u8,
    /// Directory for all logs. Without it, logs are kept only if the accounts do not hold up.
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: Option<PathBuf>,
    /// Registrations per second.
    #[arg(long, default_value_t = 6.0, value_name = "PER SECOND")]
    pub rate: f64,
    /// No faults at all, to see what the test itself contributes.
    #[arg(long)]
    pub calm: bool,
    /// Only faults whose name contains this text.
    #[arg(long, value_name = "PART OF A NAME")]
    pub only: Option<String>,
    /// No faults whose name contains this text.
    #[arg(long, value_name = "PART OF A NAME")]
    pub without: Option<String>,
    /// Print the schedule and exit.
    #[arg(long)]
    pub plan: bool,
    /// Time limit for everything to settle after the last fault.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub patience: u64,
}

impl Options {
    /// The time during which registrations are submitted and faults happen.
    pub fn length(&self) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "not that many registrations")]
        let seconds = self.registrations as f64 / self.rate;
        Duration::from_secs_f64(seconds.max(10.0))
    }

    /// Whether the bridge has a client in OpenCRVS.
    pub fn has_client(&self) -> bool {
        self.opencrvs.has_events() && self.opencrvs.release() > Release::V1_9
    }

    /// Whether `--only` and `--without` let a fault of this name happen.
    pub fn chooses(&self, name: &str) -> bool {
        let has = |part: &String| name.contains(part.as_str());
        self.only.as_ref().is_none_or(has) && !self.without.as_ref().is_some_and(has)
    }

    /// Whether the random faults of single calls happen, beside the schedule.
    pub fn has_call_faults(&self) -> bool {
        !self.calm && self.only.is_none()
    }

    /// Makes the directory of the run.
    pub fn make_dir(&self) -> PathBuf {
        let dir = self.dir.clone().unwrap_or_else(|| temporary("chaos"));
        std::fs::create_dir_all(&dir).expect("a directory");
        dir.canonicalize().expect("a directory")
    }
}
