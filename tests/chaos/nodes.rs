//! Faults of the broker.

use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use nidbridge::sandbox::rabbitmq::{Cluster, Control, Frozen};
use tokio::time::{sleep, timeout};

use super::proxy::Mode;
use super::stage::Stage;

/// Timeout of `rabbitmqctl`, long enough for a busy machine.
const CONTROL: Duration = Duration::from_secs(40);

pub async fn kill(stage: &Stage, node: usize) -> u64 {
    let mut cluster = stage.cluster.lock().await;
    let killed = cluster.kill9(node).await.is_ok();
    sleep(Duration::from_secs(2)).await;
    back(&mut cluster, node).await;
    u64::from(killed)
}

pub async fn terminate(stage: &Stage, node: usize) -> u64 {
    let mut cluster = stage.cluster.lock().await;
    let ended = cluster.terminate(node).await.is_ok();
    sleep(Duration::from_secs(1)).await;
    back(&mut cluster, node).await;
    u64::from(ended)
}

pub async fn freeze(stage: &Stage, node: usize, lasts: Duration) -> u64 {
    let mut cluster = stage.cluster.lock().await;
    let frozen = cluster.freeze(node, Frozen::Yes).is_ok();
    sleep(lasts).await;
    u64::from(frozen && cluster.freeze(node, Frozen::No).is_ok())
}

pub async fn kill_leader(stage: &Stage) -> u64 {
    let found = stage.manage(reqwest::Method::GET, "/queues/nidbridge/registrations.work", "").await;
    let found: Option<serde_json::Value> = found.and_then(|text| serde_json::from_str(&text).ok());
    let leader = found.as_ref().and_then(|queue| queue["leader"].as_str());
    let node = {
        let cluster = stage.cluster.lock().await;
        (0..cluster.size()).find(|node| leader.is_some() && cluster.name(*node) == leader)
    };
    match node {
        Some(node) => kill(stage, node).await,
        None => 0,
    }
}

/// Restarts a node. Tries several times, because the other nodes may not be ready for it yet.
async fn back(cluster: &mut Cluster, node: usize) {
    for _ in 0..5 {
        match cluster.restart(node).await {
            Ok(()) => return,
            Err(error) => eprintln!("chaos: node {node} is started once more: {error}"),
        }
    }
    panic!("node {node} does not come back");
}

/// Separates a node from the others: it uses a wrong cookie for them until the partition ends.
pub async fn partition(stage: &Stage, node: usize, lasts: Duration) -> u64 {
    let cluster = stage.cluster.lock().await;
    let others: Vec<String> = (0..cluster.size())
        .filter(|other| *other != node)
        .filter_map(|other| cluster.name(other).map(|name| format!("'{name}'")))
        .collect();
    let (others, cookie) = (others.join(","), cluster.cookie().unwrap_or_default().to_owned());
    let apart =
        format!("[begin erlang:set_cookie(N, xbad), erlang:disconnect_node(N) end || N <- [{others}]].");
    let together =
        format!("[begin erlang:set_cookie(N, '{cookie}'), net_adm:ping(N) end || N <- [{others}]].");
    let parted = control(&stage.controls[node], &["eval", &apart]).await;
    sleep(lasts).await;
    for _ in 0..5 {
        if control(&stage.controls[node], &["eval", &together]).await {
            return u64::from(parted);
        }
    }
    panic!("node {node} does not come back to the others");
}

pub async fn memory_alarm(stage: &Stage, lasts: Duration) -> u64 {
    let alarms = || logged(stage, "memory resource limit alarm set on node");
    let before = alarms();
    let set = anywhere(stage, &["set_vm_memory_high_watermark", "0.0001"]).await;
    sleep(lasts).await;
    if let Some(node) = set {
        for _ in 0..10 {
            // A node that has restarted since has lost the setting.
            if control(&stage.controls[node], &["set_vm_memory_high_watermark", "absolute", "1GB"]).await {
                break;
            }
        }
    }
    u64::from(alarms() > before)
}

/// Limits each work queue to one message, and disconnects the workers so that nothing consumes it.
pub async fn queue_full(stage: &Stage, lasts: Duration) -> u64 {
    let policy = r#"{"pattern":"\\.work$","definition":{"max-length":1},"apply-to":"queues","priority":9}"#;
    let before = stage.said("front", "the queue refuses it");
    stage.manage(reqwest::Method::PUT, "/policies/nidbridge/full", policy).await;
    for worker in stage.of("worker") {
        worker.broker.set(Mode::Cut);
    }
    sleep(lasts).await;
    for worker in stage.of("worker") {
        worker.broker.set(Mode::Open);
    }
    // Tries again, because the node that could remove the policy may still be restarting.
    for _ in 0..240 {
        if stage.manage(reqwest::Method::DELETE, "/policies/nidbridge/full", "").await.is_some() {
            return stage.said("front", "the queue refuses it") - before;
        }
        sleep(Duration::from_millis(500)).await;
    }
    panic!("the policy cannot be taken back");
}

/// Sets the consumer timeout for channels that are opened from now on, on every running node.
pub async fn consumer_timeout(stage: &Stage, milliseconds: u32) {
    let tick = if milliseconds < 10_000 { 500 } else { 60_000 };
    let text = format!(
        "application:set_env(rabbit,consumer_timeout,{milliseconds}),application:set_env(rabbit,channel_tick_interval,{tick})."
    );
    let words = ["eval", text.as_str()];
    join_all(stage.controls.iter().map(|node| control(node, &words))).await;
}

/// Number of consumers that the broker has closed because of the consumer timeout.
pub fn timeouts(stage: &Stage) -> u64 {
    logged(stage, "has timed out waiting for delivery acknowledgement")
}

/// How often a text occurs in the logs of the nodes.
fn logged(stage: &Stage, told: &str) -> u64 {
    let logs = (1..=stage.controls.len()).map(|node| {
        stage
            .dir
            .join("rabbitmq")
            .join(format!("node{node}"))
            .join("log")
            .join(format!("node{node}@localhost.log"))
    });
    let count =
        logs.filter_map(|log| std::fs::read_to_string(log).ok()).map(|text| text.matches(told).count());
    u64::try_from(count.sum::<usize>()).unwrap_or(u64::MAX)
}

async fn anywhere(stage: &Stage, words: &[&str]) -> Option<usize> {
    for (node, controls) in stage.controls.iter().enumerate() {
        if control(controls, words).await {
            return Some(node);
        }
    }
    None
}

async fn control(control: &Control, words: &[&str]) -> bool {
    let mut command = tokio::process::Command::from(control.command());
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let Ok(mut child) = command.spawn() else { return false };
    matches!(timeout(CONTROL, child.wait()).await, Ok(Ok(status)) if status.success())
}
