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
mod actions;
mod arrivals;
mod broker;
mod catalogue;
mod client;
mod events;
mod faults;
mod harness;
mod id_owner;
mod observe;
mod odd;
mod operator;
mod options;
mod outage;
mod plan;
mod process;
mod report;
mod rig;
mod roles;
mod settings;
mod settle;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use nidbridge::sandbox::opencrvs::{Records, RunOptions};
use tokio_util::sync::CancellationToken;

use faults::{Effects, carry_out};
use observe::Watcher;
use options::Options;
use plan::{Planned, schedule};
use report::{Report, print_failures};
use rig::Rig;

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
    let schedule = schedule(options);
    let (seed, length) = (options.seed, options.length());
    eprintln!("chaos: seed {seed}, {} registrations in {length:?}; the schedule:", options.registrations);
    for planned in &schedule {
        let (at, lasts) = (planned.at.as_secs_f64(), planned.lasts.as_secs_f64());
        eprintln!("  {at:>6.1} s  {lasts:>4.1} s  {planned}");
    }
    if options.plan {
        return ExitCode::SUCCESS;
    }
    let dir = options.make_dir();
    let report = perform(options, &schedule, &dir).await;
    let text = if options.json { serde_json::to_string } else { serde_json::to_string_pretty };
    println!("{}", text(&report).expect("JSON"));
    let good = report.is_good();
    if !good {
        let without_effect = report.without_effect();
        eprintln!("chaos: the accounts do not hold up; these faults had no effect: {without_effect:?}");
    }
    if good && options.dir.is_none() {
        drop(std::fs::remove_dir_all(&dir));
    } else {
        eprintln!("chaos: the logs are in {}", dir.display());
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn perform(options: &Options, schedule: &[Planned], dir: &Path) -> Report {
    eprintln!("chaos: starting everything in {} …", dir.display());
    let mut rig = Rig::start(options, dir).await;
    rig.id_owner = id_owner::register(&rig, options).await;
    let rig = Arc::new(rig);
    let begun = Instant::now();
    let effects = Effects::new(dir);
    let watcher = Watcher::start(&rig);
    if options.has_call_faults() {
        rig.opencrvs.faults().by_share(options.seed, &plan::shares(options));
    }
    eprintln!("chaos: the registrations begin");
    let registrars = tokio::spawn(submit(options.clone(), Arc::clone(&rig)));
    carry_out(&rig, schedule, &effects).await;
    registrars.await.expect("the registrars");
    eprintln!("chaos: all faults have ended after {:.0} s", begun.elapsed().as_secs_f64());
    let (settled, mut accounts) = settle::settled(&rig, Duration::from_secs(options.patience)).await;
    arrivals::check_unheard(&rig, &mut accounts);
    let seconds = begun.elapsed().as_secs_f64();
    let (redeliveries, leases_taken_over) = watcher.finish(&rig).await;
    let mut faults = effects.counts();
    if options.has_call_faults() {
        faults.extend(random_faults(&rig, options));
    }
    let ambiguous_writes = ambiguous_writes(&rig);
    print_failures(&rig, &accounts).await;
    let crashes = stop(Arc::into_inner(rig).expect("the only reference")).await;
    let seed = options.seed;
    Report {
        seed,
        accounts,
        faults,
        ambiguous_writes,
        redeliveries,
        leases_taken_over,
        crashes,
        settled,
        seconds,
    }
}

/// Submits all registrations.
async fn submit(options: Options, rig: Arc<Rig>) {
    let load = RunOptions {
        registrations: Some(options.registrations),
        rate: options.rate,
        seed: options.seed,
        generations: options.opencrvs,
        mix: odd::mix(&options),
        future_stamps: odd::share(&options, odd::FUTURE_STAMP),
        ..RunOptions::to(rig.front.clone())
    };
    rig.opencrvs.run(load, CancellationToken::new()).await.expect("a token for each");
}

/// Stops everything; returns the number of processes that ended by themselves or did not stop.
async fn stop(rig: Rig) -> u64 {
    let exits = rig.roles.iter().flat_map(|role| role.process.exits());
    let mut crashes: Vec<String> = exits
        .filter(|exit| !exit.is_unavailable())
        .map(|exit| format!("{} ended by itself: {}", exit.name, exit.status))
        .collect();
    crashes.extend(rig.stop().await);
    for crash in &crashes {
        eprintln!("chaos: {crash}");
    }
    u64::try_from(crashes.len()).unwrap_or(u64::MAX)
}

/// Random faults of OpenCRVS and of the ID system, with the number of times that each happened.
fn random_faults(rig: &Rig, options: &Options) -> Vec<(String, u64)> {
    let met = rig.opencrvs.counts().faults;
    let shares = plan::shares(options).into_iter();
    let shares = shares.map(|share| format!("{}.{}", share.calls.name(), share.fault.name()));
    let gateway = shares.map(|name| {
        let times = met.get(&name).copied().unwrap_or_default();
        (format!("opencrvs_{name}"), times)
    });
    let conflicts = |records: &Records| {
        let files = records.all().filter_map(|(_, record)| record.event.as_ref());
        files.map(|file| u64::from(file.conflicts)).sum::<u64>()
    };
    let assigned =
        rig.client.iter().map(|_| ("opencrvs_user_assigned".to_owned(), rig.opencrvs.inspect(conflicts)));
    let vendor = rig.nid.state().misbehaved;
    gateway
        .chain(assigned)
        .chain(vendor.into_iter().map(|(kind, times)| (format!("vendor_{kind}"), times)))
        .collect()
}

/// Writes to which the gateway gave no conclusive answer, counted by the gateway's own faults.
fn ambiguous_writes(rig: &Rig) -> u64 {
    let conclusive = ["confirm.rate_limited", "confirm.http", "action.rate_limited", "action.http"];
    let writes = |name: &str| name.starts_with("confirm.") || name.starts_with("action.");
    let counts = rig.opencrvs.counts();
    let met = counts.faults.iter().filter(|(name, _)| writes(name) && !conclusive.contains(&name.as_str()));
    met.map(|(_, times)| times).sum()
}
