//! The chaos test: the whole bridge under a seeded schedule of faults, followed by accounts of how
//! every registration ended.
//!
//! `deploy/chaos` builds and runs it. It does not use libtest. Without `--registrations` it does
//! nothing, so that `cargo test` skips it.

#![allow(unreachable_pub, reason = "nothing outside of this program sees its items")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the rig fails by panicking"
)]

mod accounts;
mod events;
mod faults;
mod harness;
mod nginx;
mod nodes;
mod observe;
mod operator;
mod options;
mod outage;
mod plan;
mod process;
mod proxy;
mod report;
mod settings;
mod settle;
mod somebody;
mod stage;
mod what;
mod wiring;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use nidbridge::sandbox::opencrvs::{Generations, RunOptions};
use tokio_util::sync::CancellationToken;

use accounts::Accounts;
use faults::{Bites, carry_out};
use observe::Watcher;
use options::Options;
use report::Report;
use stage::Stage;

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument.starts_with("--registrations") || argument == "--help") {
        println!("chaos: nothing is run without --registrations; see deploy/chaos");
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::select! {
            code = run(&options) => code,
            _ = tokio::signal::ctrl_c() => ExitCode::from(130),
        }
    })
}

async fn run(options: &Options) -> ExitCode {
    let length = length(options);
    let mut schedule = plan::schedule(options.seed, length, usize::from(options.nodes), options.opencrvs);
    if let Some(only) = &options.only {
        schedule.retain(|planned| planned.what.name().contains(only));
    }
    if let Some(without) = &options.without {
        schedule.retain(|planned| !planned.what.name().contains(without));
    }
    if options.calm {
        schedule.clear();
    }
    eprintln!(
        "chaos: seed {}, {} registrations in {length:?}; the schedule:",
        options.seed, options.registrations
    );
    for planned in &schedule {
        let (at, lasts) = (planned.at.as_secs_f64(), planned.lasts.as_secs_f64());
        eprintln!("  {at:>6.1} s  {lasts:>4.1} s  {:?}", planned.what);
    }
    if options.plan {
        return ExitCode::SUCCESS;
    }
    let dir = directory(options);
    let report = perform(options, &schedule, &dir).await;
    if options.json {
        println!("{}", serde_json::to_string(&report).expect("JSON"));
    } else {
        println!("{}", serde_json::to_string_pretty(&report).expect("JSON"));
    }
    let good = report.is_good();
    if !good {
        eprintln!("chaos: the accounts do not hold up; these never bit: {:?}", report.toothless());
    }
    if good && options.dir.is_none() {
        drop(std::fs::remove_dir_all(&dir));
    } else {
        eprintln!("chaos: the logs are in {}", dir.display());
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The time during which registrations are submitted and faults happen.
fn length(options: &Options) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "not that many registrations")]
    let seconds = options.registrations as f64 / options.rate;
    Duration::from_secs_f64(seconds.max(10.0))
}

fn directory(options: &Options) -> PathBuf {
    let dir = options.dir.clone().unwrap_or_else(|| harness::temporary("chaos"));
    std::fs::create_dir_all(&dir).expect("a directory");
    dir.canonicalize().expect("a directory")
}

async fn perform(options: &Options, schedule: &[plan::Planned], dir: &Path) -> Report {
    eprintln!("chaos: starting everything in {} …", dir.display());
    let mut stage = Stage::set(options, dir).await;
    stage.somebody = somebody::register(&stage, options.seed, options.opencrvs).await;
    let stage = Arc::new(stage);
    let begun = Instant::now();
    let bites = Bites::new(dir);
    let load = RunOptions {
        registrations: Some(options.registrations),
        rate: options.rate,
        seed: options.seed,
        generations: options.opencrvs,
        ..RunOptions::to(stage.front.clone())
    };
    eprintln!("chaos: the registrations begin");
    let watcher = Watcher::start(&stage);
    if !options.calm && options.only.is_none() {
        stage.opencrvs.faults().by_share(options.seed, &plan::shares(options.opencrvs));
    }
    let opencrvs = stage.opencrvs.clone();
    let registrars = tokio::spawn(async move { opencrvs.run(load, CancellationToken::new()).await });
    carry_out(&stage, schedule, &bites).await;
    registrars.await.expect("the registrars").expect("a token for each");
    eprintln!("chaos: all faults have ended after {:.0} s", begun.elapsed().as_secs_f64());
    let (settled, mut accounts) = settle::settled(&stage, Duration::from_secs(options.patience)).await;
    outage::doubt(&stage, &mut accounts);
    let seconds = begun.elapsed().as_secs_f64();
    let (redeliveries, leases_taken_over) = watcher.finish(&stage).await;
    let mut faults = bites.all();
    if !options.calm && options.only.is_none() {
        faults.extend(chance_faults(&stage, options.opencrvs));
    }
    let ambiguous_writes = ambiguous(&stage);
    tell(&stage, &accounts).await;
    let exits: Vec<_> = stage.roles.iter().flat_map(|role| role.process.exits()).collect();
    let crashed = |exit: &&process::Exit| !exit.unavailable;
    let mut crashes = exits.iter().filter(crashed).count();
    for exit in exits.iter().filter(crashed) {
        eprintln!("chaos: {} ended by itself: {}", exit.name, exit.status);
    }
    let stage = Arc::into_inner(stage).expect("nobody else has the stage");
    for wrong in stage.strike().await {
        eprintln!("chaos: {wrong}");
        crashes += 1;
    }
    Report {
        seed: options.seed,
        accounts,
        faults,
        ambiguous_writes,
        redeliveries,
        leases_taken_over,
        crashes: u64::try_from(crashes).unwrap_or(u64::MAX),
        settled,
        seconds,
    }
}

/// Random faults of OpenCRVS and of the ID system, with the number of times that each happened.
fn chance_faults(stage: &Stage, generations: Generations) -> Vec<(String, u64)> {
    let met = stage.opencrvs.counts().faults;
    let shares = plan::shares(generations).into_iter();
    let shares = shares.map(|share| format!("{}.{}", share.calls.name(), share.fault.name()));
    let gateway = shares.map(|name| {
        let times = met.get(&name).copied().unwrap_or_default();
        (format!("opencrvs_{name}"), times)
    });
    let vendor = stage.nid.state().misbehaved;
    gateway.chain(vendor.into_iter().map(|(what, times)| (format!("vendor_{what}"), times))).collect()
}

/// Writes to which the gateway gave no conclusive answer, counted by the gateway's own faults.
fn ambiguous(stage: &Stage) -> u64 {
    let conclusive = ["confirm.rate_limited", "confirm.http", "action.rate_limited", "action.http"];
    let writes = |name: &str| name.starts_with("confirm.") || name.starts_with("action.");
    let counts = stage.opencrvs.counts();
    let met = counts.faults.iter().filter(|(name, _)| writes(name) && !conclusive.contains(&name.as_str()));
    met.map(|(_, times)| times).sum()
}

/// Prints everything that is known about each record that did not end as expected.
async fn tell(stage: &Stage, accounts: &Accounts) {
    for (id, why) in &accounts.bad {
        eprintln!("chaos: {id}: {why}");
        let Some(record) = stage.opencrvs.record(id) else { continue };
        for attempt in &record.attempts {
            eprintln!("    submitted {} answered {:?} lost {}", attempt.stamp, attempt.result, attempt.lost);
        }
        for step in &record.history {
            eprintln!("    OpenCRVS {} {:?}", step.at, step.status);
        }
        for confirmed in &record.confirms {
            eprintln!(
                "    confirmed over {:?} with {} {:?}",
                confirmed.status_before, confirmed.number, confirmed.identifiers
            );
        }
        if let Some(file) = &record.event {
            eprintln!("    events {}", events::told(file));
        }
        let Ok(known) = nidbridge::domain::RecordId::parse(id) else { continue };
        for entry in stage.ledger.history(&known).await.unwrap_or_default() {
            let cause = entry.cause.as_ref().map_or("", |cause| cause.as_str());
            eprintln!(
                "    ledger {} {} {} {cause} by {}",
                entry.at,
                entry.stage.as_str(),
                entry.what,
                entry.who
            );
        }
    }
}
