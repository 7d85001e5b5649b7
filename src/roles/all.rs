//! `nidbridge all`: front, worker and confirmer in one process, for a small country.

use tokio::net::TcpListener;

use super::worker::WorkerStage;
use super::{Failure, Process, confirmer, front, worker};

/// Runs the three roles until the process is to stop, or until one of them fails.
pub(crate) async fn run(process: Process) -> Result<(), Failure> {
    let listener = front::listen(&process).await?;
    serve_on(listener, process).await
}

/// Runs on a listener that is already bound.
pub(crate) async fn serve_on(listener: TcpListener, process: Process) -> Result<(), Failure> {
    // A role that fails stops the others, which still finish the work that they have.
    let ended = |role: Result<(), Failure>| {
        if role.is_err() {
            process.stop.cancel();
        }
        role
    };
    let stages = [WorkerStage::Record, WorkerStage::Send, WorkerStage::Resolve, WorkerStage::Sweep];
    let front = async { ended(front::serve_on(listener, process.clone()).await) };
    let worker = async { ended(worker::run(process.clone(), &stages).await) };
    let confirmer = async { ended(confirmer::run(process.clone()).await) };
    let (front, worker, confirmer) = tokio::join!(front, worker, confirmer);
    front.and(worker).and(confirmer)
}
