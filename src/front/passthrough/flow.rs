//! Bodies on their way, piece by piece.
//!
//! Invariant: a silence that is too long, or a fault of the one side, is a fault of the stream, so that the other side
//! sees a body that broke off.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// How many pieces of the caller's body have gone on.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

/// The caller's body.
pub(super) fn upload(
    body: Body,
    patience: Duration,
    progress: Progress,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((body.into_data_stream(), progress), move |(mut body, progress)| async move {
        let piece = timeout(patience, body.next()).await.map_err(|_| silent("the caller"))?;
        progress.0.fetch_add(1, Ordering::Relaxed);
        Ok(piece.transpose().map_err(io::Error::other)?.map(|piece| (piece, (body, progress))))
    })
}

/// The body of an answer; the permit is given back when it has ended, however that is.
pub(super) fn download(
    answer: reqwest::Response,
    patience: Duration,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((answer, permit), move |(mut answer, permit)| async move {
        let piece = timeout(patience, answer.chunk()).await.map_err(|_| silent("the country's service"))?;
        let piece = piece.map_err(|cause| io::Error::other(cause.without_url()))?;
        Ok(piece.map(|piece| (piece, (answer, permit))))
    })
}

/// Waits as long as the upload moves; `None` after a silence.
pub(super) async fn while_it_moves<T>(
    call: impl Future<Output = T>,
    progress: &Progress,
    patience: Duration,
) -> Option<T> {
    let mut call = std::pin::pin!(call);
    loop {
        let before = progress.0.load(Ordering::Relaxed);
        if let Ok(answer) = timeout(patience, &mut call).await {
            return Some(answer);
        }
        if progress.0.load(Ordering::Relaxed) == before {
            return None;
        }
    }
}

fn silent(who: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{who} was silent"))
}
