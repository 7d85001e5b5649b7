//! SIGTERM and Ctrl-C: the first one drains, the second one ends at once.
//!
//! Invariant: a process that is told to stop takes nothing new and finishes what it holds, unless it is told twice.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell shows for a process that SIGINT ended.
const BY_INTERRUPT: i32 = 130;
/// The same for SIGTERM.
const BY_TERM: i32 = 143;

/// From now on signals cancel the token that is returned.
///
/// # Errors
/// When the signals cannot be handled.
pub(crate) fn on_signal() -> io::Result<CancellationToken> {
    let (mut interrupt, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        next(&mut interrupt, &mut term).await;
        tracing::info!("told to stop: finishing what is held; a second signal ends at once");
        told.cancel();
        let code = next(&mut interrupt, &mut term).await;
        std::process::exit(code);
    });
    Ok(stop)
}

async fn next(interrupt: &mut Signal, term: &mut Signal) -> i32 {
    tokio::select! {
        _ = interrupt.recv() => BY_INTERRUPT,
        _ = term.recv() => BY_TERM,
    }
}
