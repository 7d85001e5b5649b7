//! SIGTERM and Ctrl-C: the first signal drains the process, the second ends it at once.
//!
//! Invariant: a process that drains begins nothing new and finishes the work that it has.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that SIGINT ended.
const SIGINT_CODE: i32 = 130;
/// Exit code of a process that SIGTERM ended.
const SIGTERM_CODE: i32 = 143;

/// Returns a token that the first signal cancels.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub(crate) fn on_signal() -> io::Result<CancellationToken> {
    let (mut interrupt, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        next_signal(&mut interrupt, &mut term).await;
        tracing::info!("told to stop: finishing the work in hand; a second signal ends the process at once");
        stopping.cancel();
        let code = next_signal(&mut interrupt, &mut term).await;
        std::process::exit(code);
    });
    Ok(stop)
}

/// Waits for a signal and returns the exit code of a process that this signal ends.
async fn next_signal(interrupt: &mut Signal, term: &mut Signal) -> i32 {
    tokio::select! {
        _ = interrupt.recv() => SIGINT_CODE,
        _ = term.recv() => SIGTERM_CODE,
    }
}
