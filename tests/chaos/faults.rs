//! Causes the faults of the schedule, and ends each of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use nidbridge::sandbox::opencrvs::{Calls, Fault, Service};
use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use super::nodes;
use super::outage;
use super::plan::Planned;
use super::proxy::{Mode, Proxy};
use super::settings::GATEWAY_TIMEOUT;
use super::stage::{Role, Stage};
use super::what::{Kind, What};

/// How much longer a fault may last if it has not disturbed anything yet.
const OVERTIME: Duration = Duration::from_secs(6);

/// How many times, at most, a kind of fault is repeated if it has never disturbed anything.
const AGAIN: usize = 3;

/// How often each kind of fault has disturbed something, and a log of the faults.
#[derive(Debug)]
pub struct Bites {
    bites: Mutex<BTreeMap<String, u64>>,
    log: File,
}

impl Bites {
    pub fn new(dir: &Path) -> Self {
        Self { bites: Mutex::default(), log: File::create(dir.join("faults.log")).expect("a log") }
    }

    fn tell(&self, line: &str) {
        writeln!(&self.log, "{} {line}", jiff::Timestamp::now()).expect("a line in the log");
    }

    pub fn count(&self, what: &str, times: u64) {
        let mut bites = self.bites.lock().unwrap_or_else(PoisonError::into_inner);
        *bites.entry(what.to_owned()).or_default() += times;
    }

    pub fn all(&self) -> BTreeMap<String, u64> {
        self.bites.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Causes all faults of the schedule; returns when every fault has ended.
pub async fn carry_out(stage: &Stage, schedule: &[Planned], bites: &Bites) {
    let begun = Instant::now();
    let one = async |planned: Planned| {
        bites.count(&planned.what.name(), 0);
        sleep_until(begun + planned.at).await;
        let from = begun.elapsed().as_secs_f64();
        let disturbed = play(stage, planned).await;
        let to = begun.elapsed().as_secs_f64();
        bites.tell(&format!("{from:>6.1} s to {to:>6.1} s  bit {disturbed:>3}  {:?}", planned.what));
        bites.count(&planned.what.name(), disturbed);
    };
    join_all(schedule.iter().map(|planned| one(*planned))).await;
    // A fault may disturb nothing because of another fault, such as a process that was frozen at
    // the time. Its kind is then repeated.
    for _ in 0..AGAIN {
        let harmless: Vec<String> =
            bites.all().into_iter().filter_map(|(name, times)| (times == 0).then_some(name)).collect();
        for name in harmless {
            let planned = schedule.iter().find(|planned| planned.what.name() == name);
            one(*planned.expect("what was planned")).await;
        }
    }
}

/// Plays one fault from its beginning to its end; returns how often it disturbed something.
async fn play(stage: &Stage, planned: Planned) -> u64 {
    let lasts = planned.lasts;
    match planned.what {
        What::Kill(kind, number) => u64::from(role(stage, kind, number).process.signal(Signal::KILL)),
        What::FrontsKill => {
            let killed = stage.of("front").into_iter().map(|front| front.process.signal(Signal::KILL));
            u64::from(killed.filter(|killed| *killed).count() == 2)
        }
        What::NginxKill => outage::nginx_killed(stage, lasts).await,
        What::Terminate(kind, number) => u64::from(role(stage, kind, number).process.signal(Signal::TERM)),
        What::Freeze(kind, number) => freeze(role(stage, kind, number), lasts).await,
        What::FreezeLong(kind, number) => freeze_long(role(stage, kind, number), lasts).await,
        What::NodeKill(node) => nodes::kill(stage, node).await,
        What::NodeTerminate(node) => nodes::terminate(stage, node).await,
        What::NodeFreeze(node) => nodes::freeze(stage, node, lasts).await,
        What::LeaderKill => nodes::kill_leader(stage).await,
        What::Partition(node) => nodes::partition(stage, node, lasts).await,
        What::MemoryAlarm => nodes::memory_alarm(stage, lasts).await,
        What::QueueFull => nodes::queue_full(stage, lasts).await,
        What::ConsumerTimeout => consumer_timeout(stage, lasts).await,
        What::Amqp(kind, number, mode) => broken(&role(stage, kind, number).broker, mode, lasts).await,
        What::VendorAmqp(mode) => broken(&stage.vendor_wire, mode, lasts).await,
        What::LedgerCrash => ledger_crash(stage, lasts).await,
        What::LedgerWire(kind, number, mode) => match &role(stage, kind, number).ledger {
            Some(wire) => broken(wire, mode, lasts).await,
            None => 0,
        },
        What::GatewayErrors => calls(stage, [Fault::http(503), Fault::http(503)], lasts).await,
        What::GatewayHangs => calls(stage, [Fault::HANG, Fault::HANG_AFTER], lasts).await,
        What::GatewayWire(number, mode) => match &role(stage, Kind::Confirmer, number).gateway {
            Some(wire) => broken(wire, mode, lasts).await,
            None => 0,
        },
        What::GatewayDown => down(stage, Service::Gateway, lasts).await,
        What::AuthDown => down(stage, Service::Auth, lasts).await,
        What::CountryConfigDown => down(stage, Service::CountryConfig, lasts).await,
        What::KeyRotation => {
            stage.opencrvs.rotate_key().expect("a key");
            1
        }
        What::VendorKill => vendor_kill(stage, lasts).await,
        What::VendorSilent => {
            stage.nid.pause_replies();
            sleep(lasts).await;
            stage.nid.resume_replies();
            1
        }
    }
}

fn role(stage: &Stage, kind: Kind, number: usize) -> &Role {
    let of_kind = stage.of(kind.name());
    of_kind[number % of_kind.len()]
}

/// Counts only if the process that was stopped is the one that continues.
async fn freeze(role: &Role, lasts: Duration) -> u64 {
    let stopped = role.process.pid();
    let sent = role.process.signal(Signal::STOP);
    sleep(lasts).await;
    let same = stopped == role.process.pid();
    u64::from(role.process.signal(Signal::CONT) && sent && same)
}

async fn freeze_long(role: &Role, lasts: Duration) -> u64 {
    if let Some(gateway) = &role.gateway {
        gateway.set(Mode::Cut);
    }
    let disturbed = freeze(role, lasts).await;
    if let Some(gateway) = &role.gateway {
        // Waits until a call that was about to be made has ended.
        sleep(GATEWAY_TIMEOUT * 2).await;
        gateway.set(Mode::Open);
    }
    disturbed
}

async fn broken(wire: &Proxy, mode: Mode, lasts: Duration) -> u64 {
    let before = wire.disturbed();
    wire.set(mode);
    sleep(lasts).await;
    until_bitten(|| wire.disturbed() > before).await;
    wire.set(Mode::Open);
    wire.disturbed() - before
}

/// At some moments there is nothing that a fault can disturb. The fault then lasts longer, but
/// always much shorter than the quarantine.
async fn until_bitten(disturbed: impl Fn() -> bool) {
    let patience = Instant::now() + OVERTIME;
    while !disturbed() && Instant::now() < patience {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Makes every call to the gateway fail: reads in the first way, writes in the second.
async fn calls(stage: &Stage, faults: [Fault; 2], lasts: Duration) -> u64 {
    let plan = stage.opencrvs.faults();
    let of = [(Calls::Fetch, faults[0]), (Calls::Confirm, faults[1]), (Calls::Action, faults[1])];
    let disturbed = || of.iter().map(|(calls, fault)| plan.times_met(*calls, *fault)).sum::<u64>();
    let before = disturbed();
    for (calls, fault) in of {
        plan.always(calls, fault);
    }
    sleep(lasts).await;
    until_bitten(|| disturbed() > before).await;
    for (calls, _) in of {
        plan.stop(calls);
    }
    disturbed() - before
}

async fn vendor_kill(stage: &Stage, lasts: Duration) -> u64 {
    stage.nid.kill().await;
    sleep(lasts).await;
    stage.nid.restart(&stage.vendor);
    1
}

async fn down(stage: &Stage, service: Service, lasts: Duration) -> u64 {
    stage.opencrvs.kill(service).await;
    sleep(lasts).await;
    stage.opencrvs.restart(service).await.expect("the same address");
    1
}

async fn ledger_crash(stage: &Stage, lasts: Duration) -> u64 {
    let mut postgres = stage.postgres.lock().await;
    postgres.crash().await;
    sleep(lasts).await;
    postgres.recover().await;
    1
}

/// Consumers keep their deliveries for too long, because the ledger does not answer.
async fn consumer_timeout(stage: &Stage, lasts: Duration) -> u64 {
    let before = nodes::timeouts(stage);
    nodes::consumer_timeout(stage, 2_500).await;
    // Only new channels have the new limit.
    let workers = stage.of("worker");
    for worker in &workers {
        worker.broker.set(Mode::Cut);
    }
    sleep(Duration::from_millis(300)).await;
    for worker in &workers {
        worker.broker.set(Mode::Open);
    }
    sleep(Duration::from_millis(1_000)).await;
    let ledgers: Vec<&Proxy> = workers.iter().filter_map(|worker| worker.ledger.as_ref()).collect();
    for ledger in &ledgers {
        ledger.set(Mode::Blackhole);
    }
    sleep(lasts.saturating_sub(Duration::from_millis(1_300))).await;
    for ledger in &ledgers {
        ledger.set(Mode::Open);
    }
    nodes::consumer_timeout(stage, 1_800_000).await;
    nodes::timeouts(stage) - before
}
