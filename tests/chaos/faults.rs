//! Carrying the schedule out, and taking everything back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::plan::{Kind, Planned, What};
use super::stage::{Role, Stage};

/// How often each kind of fault has bitten.
#[derive(Debug, Default)]
pub struct Bites(Mutex<BTreeMap<String, u64>>);

impl Bites {
    pub fn count(&self, what: &str, times: u64) {
        let mut bites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *bites.entry(what.to_owned()).or_default() += times;
    }

    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Carries the whole schedule out; returns when every fault has ended.
pub async fn carry_out(stage: &Arc<Stage>, schedule: &[Planned], bites: &Arc<Bites>) {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for planned in schedule.iter().copied() {
        let (stage, bites) = (Arc::clone(stage), Arc::clone(bites));
        bites.count(&planned.what.name(), 0);
        tasks.spawn(async move {
            sleep_until(begun + planned.at).await;
            let bitten = play(&stage, planned).await;
            bites.count(&planned.what.name(), bitten);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a fault");
    }
}

/// One fault from its beginning to its end; says how often it bit.
async fn play(stage: &Stage, planned: Planned) -> u64 {
    match planned.what {
        What::Kill(kind, number) => u64::from(role(stage, kind, number).process.signal(Signal::KILL)),
        What::Terminate(kind, number) => u64::from(role(stage, kind, number).process.signal(Signal::TERM)),
        What::Freeze(kind, number) => freeze(role(stage, kind, number), planned.lasts).await,
        What::FreezeLong(kind, number) => freeze_long(role(stage, kind, number), planned.lasts).await,
    }
}

fn role(stage: &Stage, kind: Kind, number: usize) -> &Role {
    let of_kind = stage.of(kind.name());
    of_kind[number % of_kind.len()]
}

/// It counts only if the process that was stopped is the one that goes on.
async fn freeze(role: &Role, lasts: Duration) -> u64 {
    let stopped = role.process.pid();
    let sent = role.process.signal(Signal::STOP);
    sleep(lasts).await;
    let same = stopped == role.process.pid();
    u64::from(role.process.signal(Signal::CONT) && sent && same)
}

async fn freeze_long(role: &Role, lasts: Duration) -> u64 {
    if let Some(gateway) = &role.gateway {
        gateway.set(super::wire::Mode::Cut);
    }
    let bitten = freeze(role, lasts).await;
    if let Some(gateway) = &role.gateway {
        // As long as a call that was about to be made may take.
        sleep(super::settings::GATEWAY_TIMEOUT * 2).await;
        gateway.set(super::wire::Mode::Open);
    }
    bitten
}
