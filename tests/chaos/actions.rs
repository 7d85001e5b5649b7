//! What the faults do to processes, connections and both sides. Each action returns the number of
//! its effects.

use std::time::Duration;

use nidbridge::sandbox::opencrvs::{Calls, Fault, Service};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::faults::Target;
use super::harness::{ChaosProxy, Mode};
use super::rig::Rig;
use super::settings::GATEWAY_TIMEOUT;

/// How much longer a fault may last if it has had no effect yet.
const OVERTIME: Duration = Duration::from_secs(6);

pub fn signal(rig: &Rig, target: Target, signal: Signal) -> u64 {
    u64::from(rig.process(target).process.signal(signal))
}

/// Counts only if both were running.
pub async fn kill_both(rig: &Rig, target: Target, _: Duration) -> u64 {
    let killed = rig.of(target.role).into_iter().filter(|one| one.process.signal(Signal::KILL));
    u64::from(killed.count() == 2)
}

/// Counts only if the process that was stopped is the one that continues.
pub async fn freeze(rig: &Rig, target: Target, lasts: Duration) -> u64 {
    let role = rig.process(target);
    let stopped = role.process.pid();
    let sent = role.process.signal(Signal::STOP);
    sleep(lasts).await;
    let same = stopped == role.process.pid();
    u64::from(role.process.signal(Signal::CONT) && sent && same)
}

/// As [`freeze`], with the connections to the gateway cut meanwhile.
pub async fn freeze_without_gateway(rig: &Rig, target: Target, lasts: Duration) -> u64 {
    let Some(gateway) = &rig.process(target).gateway else { return freeze(rig, target, lasts).await };
    gateway.set(Mode::Cut);
    let effects = freeze(rig, target, lasts).await;
    // Waits until a call that was about to be made has ended.
    sleep(GATEWAY_TIMEOUT * 2).await;
    gateway.set(Mode::Open);
    effects
}

pub async fn break_connections(proxy: &ChaosProxy, mode: Mode, lasts: Duration) -> u64 {
    let before = proxy.disturbed();
    proxy.set(mode);
    until_effective(lasts, || proxy.disturbed() > before).await;
    proxy.set(Mode::Open);
    proxy.disturbed() - before
}

/// Waits for the duration of a fault. At some moments there is nothing that a fault can disturb.
/// The fault then lasts longer, but always much shorter than the quarantine.
pub async fn until_effective(lasts: Duration, effective: impl Fn() -> bool) {
    sleep(lasts).await;
    let end = Instant::now() + OVERTIME;
    while !effective() && Instant::now() < end {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Makes every call to the gateway fail: reads in the first way, writes in the second.
pub async fn fail_calls(rig: &Rig, [read, write]: [Fault; 2], lasts: Duration) -> u64 {
    let faults = rig.opencrvs.faults();
    let ways = [(Calls::Fetch, read), (Calls::Confirm, write), (Calls::Action, write)];
    let effects = || ways.iter().map(|(calls, fault)| faults.times_met(*calls, *fault)).sum::<u64>();
    let before = effects();
    for (calls, fault) in ways {
        faults.always(calls, fault);
    }
    until_effective(lasts, || effects() > before).await;
    for (calls, _) in ways {
        faults.stop(calls);
    }
    effects() - before
}

pub async fn stop_service(rig: &Rig, service: Service, lasts: Duration) -> u64 {
    rig.opencrvs.kill(service).await;
    sleep(lasts).await;
    rig.opencrvs.restart(service).await.expect("the same address");
    1
}

pub async fn rotate_key(rig: &Rig, _: Target, _: Duration) -> u64 {
    rig.opencrvs.rotate_key().expect("a key");
    1
}

/// The ID system reads requests and sends no replies.
pub async fn silence_vendor(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    rig.nid.pause_replies();
    sleep(lasts).await;
    rig.nid.resume_replies();
    1
}

pub async fn kill_vendor(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    rig.nid.kill().await;
    sleep(lasts).await;
    rig.nid.restart(&rig.vendor);
    1
}

pub async fn crash_ledger(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let mut postgres = rig.postgres.lock().await;
    postgres.crash().await;
    sleep(lasts).await;
    postgres.recover().await;
    1
}
