//! Bodies: read whole, but never more of them at once than there is memory for.
//!
//! Invariant: a body that says it is too long is refused before it is read; one that does not say so is refused when
//! it has become too long. Memory is held only for a caller that keeps sending.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Limits, Refusal};

const UNIT: usize = 1024;

/// How many permits stand for so many bytes.
pub(super) fn permits(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS)
}

/// A body with the memory that it holds.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    limits: &Limits,
    memory: &Arc<Semaphore>,
) -> Result<Held, Refusal> {
    let (max, pause) = (limits.max_body, limits.body_timeout);
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > max) {
        return Err(Refusal::TooLarge { max });
    }
    // Without an announcement the longest body is taken for granted: a wait here is back pressure on the caller.
    let wanted = permits(announced.unwrap_or(max)).min(permits(limits.body_memory));
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    let mut held = Arc::clone(memory).acquire_many_owned(wanted).await.map_err(|_| Refusal::Internal)?;
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(UNIT));
    while let Some(frame) = timeout(pause, body.frame()).await.map_err(|_| Refusal::BodyStalled { pause })? {
        let Ok(data) = frame.map_err(|_| Refusal::BodyBrokeOff)?.into_data() else { continue };
        if bytes.len() + data.len() > max {
            return Err(Refusal::TooLarge { max });
        }
        bytes.extend_from_slice(&data);
    }
    // One that is held for its answer holds no more than it is.
    let excess = held.num_permits().saturating_sub(permits(bytes.len()));
    drop(held.split(excess));
    Ok(Held { bytes: bytes.freeze(), _memory: held })
}

/// Reads on in the background, for a while, and keeps nothing: a caller whose connection is closed while it sends may
/// never see why it was refused.
pub(super) fn discard(mut body: Body, within: Duration) {
    let rest = async move { while let Some(Ok(_)) = body.frame().await {} };
    // A body may be the last that is dropped of a runtime that ends.
    if let Ok(runtime) = Handle::try_current() {
        drop(runtime.spawn(async move { timeout(within, rest).await }));
    }
}
