//! Faults of the broker. Each returns the number of its effects.

use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use nidbridge::sandbox::rabbitmq::{Cluster, Control};
use reqwest::Method;
use tokio::time::{sleep, timeout};

use super::faults::Target;
use super::harness::{ChaosProxy, Mode};
use super::rig::{Rig, occurrences};
use super::roles::{FRONT, WORKER};

/// Timeout of `rabbitmqctl`, long enough for a busy machine.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(40);
/// The name of the policy that limits the work queues.
const POLICY: &str = "/policies/nidbridge/full";

pub async fn kill(rig: &Rig, target: Target, _: Duration) -> u64 {
    let mut cluster = rig.cluster.lock().await;
    let killed = cluster.kill9(target.number).await.is_ok();
    sleep(Duration::from_secs(2)).await;
    restart(&mut cluster, target.number).await;
    u64::from(killed)
}

pub async fn terminate(rig: &Rig, target: Target, _: Duration) -> u64 {
    let mut cluster = rig.cluster.lock().await;
    let ended = cluster.terminate(target.number).await.is_ok();
    sleep(Duration::from_secs(1)).await;
    restart(&mut cluster, target.number).await;
    u64::from(ended)
}

pub async fn freeze(rig: &Rig, target: Target, lasts: Duration) -> u64 {
    let mut cluster = rig.cluster.lock().await;
    let frozen = cluster.freeze(target.number).is_ok();
    sleep(lasts).await;
    u64::from(frozen && cluster.unfreeze(target.number).is_ok())
}

/// Kills the node that leads the queue of registrations.
pub async fn kill_leader(rig: &Rig, target: Target, lasts: Duration) -> u64 {
    let found = rig.manage(Method::GET, "/queues/nidbridge/registrations.work", "").await;
    let found: Option<serde_json::Value> = found.and_then(|text| serde_json::from_str(&text).ok());
    let leader = found.as_ref().and_then(|queue| queue["leader"].as_str());
    let node = {
        let cluster = rig.cluster.lock().await;
        (0..cluster.size()).find(|node| leader.is_some() && cluster.name(*node) == leader)
    };
    match node {
        Some(number) => kill(rig, Target { number, ..target }, lasts).await,
        None => 0,
    }
}

/// Restarts a node. Tries several times, because the other nodes may not be ready for it yet.
async fn restart(cluster: &mut Cluster, node: usize) {
    for _ in 0..5 {
        match cluster.restart(node).await {
            Ok(()) => return,
            Err(error) => eprintln!("chaos: node {node} is started once more: {error}"),
        }
    }
    panic!("node {node} does not come back");
}

/// Separates a node from the others: it uses a wrong cookie for them until the partition ends.
pub async fn partition(rig: &Rig, target: Target, lasts: Duration) -> u64 {
    let (cluster, node) = (rig.cluster.lock().await, target.number);
    let others: Vec<String> = (0..cluster.size())
        .filter(|other| *other != node)
        .filter_map(|other| cluster.name(other).map(|name| format!("'{name}'")))
        .collect();
    let (others, cookie) = (others.join(","), cluster.cookie().unwrap_or_default());
    let separate =
        format!("[begin erlang:set_cookie(N, xbad), erlang:disconnect_node(N) end || N <- [{others}]].");
    let reunite =
        format!("[begin erlang:set_cookie(N, '{cookie}'), net_adm:ping(N) end || N <- [{others}]].");
    let separated = control(&rig.controls[node], &["eval", &separate]).await;
    sleep(lasts).await;
    for _ in 0..5 {
        if control(&rig.controls[node], &["eval", &reunite]).await {
            return u64::from(separated);
        }
    }
    panic!("node {node} does not come back to the others");
}

pub async fn memory_alarm(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let alarms = || logged(rig, "memory resource limit alarm set on node");
    let before = alarms();
    let mut set = None;
    for node in &rig.controls {
        if control(node, &["set_vm_memory_high_watermark", "0.0001"]).await {
            set = Some(node);
            break;
        }
    }
    sleep(lasts).await;
    if let Some(node) = set {
        for _ in 0..10 {
            // A node that has restarted since has lost the setting.
            if control(node, &["set_vm_memory_high_watermark", "absolute", "1GB"]).await {
                break;
            }
        }
    }
    u64::from(alarms() > before)
}

/// Limits each work queue to one message, and disconnects the workers so that nothing consumes it.
pub async fn queue_full(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let policy = r#"{"pattern":"\\.work$","definition":{"max-length":1},"apply-to":"queues","priority":9}"#;
    let refused = || rig.logged(FRONT, "the queue refuses it");
    let before = refused();
    rig.manage(Method::PUT, POLICY, policy).await;
    during(rig.of(WORKER).into_iter().map(|worker| &worker.broker), Mode::Cut, lasts).await;
    // Tries again, because the node that could remove the policy may still be restarting.
    for _ in 0..240 {
        if rig.manage(Method::DELETE, POLICY, "").await.is_some() {
            return refused() - before;
        }
        sleep(Duration::from_millis(500)).await;
    }
    panic!("the policy cannot be removed");
}

/// Consumers keep their deliveries for too long, because the ledger does not answer.
pub async fn consumer_timeout(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let timeouts = || logged(rig, "has timed out waiting for delivery acknowledgement");
    let before = timeouts();
    set_consumer_timeout(rig, 2_500).await;
    let workers = rig.of(WORKER);
    // Only new channels have the new limit.
    during(workers.iter().map(|worker| &worker.broker), Mode::Cut, Duration::from_millis(300)).await;
    sleep(Duration::from_secs(1)).await;
    let ledgers = workers.iter().filter_map(|worker| worker.ledger.as_ref());
    during(ledgers, Mode::Blackhole, lasts.saturating_sub(Duration::from_millis(1_300))).await;
    set_consumer_timeout(rig, 1_800_000).await;
    timeouts() - before
}

/// Sets the consumer timeout for channels that are opened from now on, on every running node.
async fn set_consumer_timeout(rig: &Rig, milliseconds: u32) {
    let tick = if milliseconds < 10_000 { 500 } else { 60_000 };
    let text = format!(
        "application:set_env(rabbit,consumer_timeout,{milliseconds}),application:set_env(rabbit,channel_tick_interval,{tick})."
    );
    let words = ["eval", text.as_str()];
    join_all(rig.controls.iter().map(|node| control(node, &words))).await;
}

/// Puts these proxies into a mode, and opens them again.
async fn during<'a>(proxies: impl Iterator<Item = &'a ChaosProxy>, mode: Mode, lasts: Duration) {
    let proxies: Vec<_> = proxies.inspect(|proxy| proxy.set(mode)).collect();
    sleep(lasts).await;
    proxies.into_iter().for_each(ChaosProxy::restore);
}

/// How often a text occurs in the logs of the nodes.
fn logged(rig: &Rig, text: &str) -> u64 {
    let dir = rig.dir.join("rabbitmq");
    let nodes = (1..=rig.controls.len()).map(|node| format!("node{node}"));
    occurrences(nodes.map(|node| dir.join(&node).join("log").join(format!("{node}@localhost.log"))), text)
}

async fn control(control: &Control, words: &[&str]) -> bool {
    let mut command = tokio::process::Command::from(control.command());
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    matches!(timeout(CONTROL_TIMEOUT, command.status()).await, Ok(Ok(status)) if status.success())
}
