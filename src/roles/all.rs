//! `nidbridge all`: the three roles in one process, for a small country.

use tokio::net::TcpListener;

use super::worker::WorkerStage;
use super::{Failure, Process, confirmer, front, worker};

/// Runs front, worker and confirmer until they are told to stop, or until one of them fails.
pub(crate) async fn run(process: Process) -> Result<(), Failure> {
    let listener = front::listen(&process).await?;
    serve_on(listener, process).await
}

/// The same on a listener that is bound already.
pub(crate) async fn serve_on(listener: TcpListener, process: Process) -> Result<(), Failure> {
    // One that fails stops the others, which still finish what they hold.
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
