//! `nidbridge all`: the three roles in one process, for a small country.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::worker::WorkerStage;
use super::{confirmer, front, worker};
use crate::config::Config;
use crate::console::Readiness;
use crate::telemetry::Metrics;

/// Runs front, worker and confirmer until `stop`, or until one of them fails.
///
/// # Errors
/// What the first of them failed with.
pub async fn run(
    config: &Config,
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: &Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // One that fails stops the others, which still finish what they hold.
    let stopping = async |role: anyhow::Result<()>| {
        if role.is_err() {
            stop.cancel();
        }
        role
    };
    let front = async { stopping(front::run(config, listener, Arc::clone(&metrics), stop.clone()).await).await };
    let stages = [WorkerStage::Record, WorkerStage::Send, WorkerStage::Resolve];
    let worker = async {
        stopping(worker::run(config, &stages, Arc::clone(&metrics), readiness, stop.clone()).await).await
    };
    let confirmer = async {
        stopping(confirmer::run(config, Arc::clone(&metrics), readiness, stop.clone()).await).await
    };
    let (front, worker, confirmer) = tokio::join!(front, worker, confirmer);
    front.and(worker).and(confirmer)
}
