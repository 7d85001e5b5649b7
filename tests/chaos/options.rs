//! What the rig is told on its command line.

use std::path::PathBuf;

use clap::Parser;
use nidbridge::sandbox::opencrvs::Generations;

/// Runs the whole bridge under a seeded schedule of faults and draws up the accounts.
#[derive(Debug, Clone, Parser)]
#[command(name = "deploy/chaos")]
pub struct Options {
    /// How many registrations.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub registrations: u64,
    /// The same seed makes the same families, the same schedule of faults and the same ID system.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Of which generation of OpenCRVS the records are; mixed: half of them of either.
    #[arg(long, value_enum, default_value_t)]
    pub opencrvs: Generations,
    /// Print the accounts as one line of JSON on stdout at the end.
    #[arg(long)]
    pub json: bool,
    /// How many RabbitMQ nodes: a cluster of three, or one.
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub nodes: u8,
    /// Keep all logs here; otherwise they are kept only when the accounts do not hold up.
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: Option<PathBuf>,
    /// How many registrations a second.
    #[arg(long, default_value_t = 6.0, value_name = "PER SECOND")]
    pub rate: f64,
    /// No faults at all: what the rig itself comes to.
    #[arg(long)]
    pub calm: bool,
    /// Only faults whose name contains this.
    #[arg(long, value_name = "PART OF A NAME")]
    pub only: Option<String>,
    /// No faults whose name contains this.
    #[arg(long, value_name = "PART OF A NAME")]
    pub without: Option<String>,
    /// Print the schedule and end.
    #[arg(long)]
    pub plan: bool,
    /// How long everything may take to settle after the last fault.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub patience: u64,
}
