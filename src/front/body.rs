//! Reads a body into memory, within a limit for one body and a limit for all bodies together.
//!
//! Invariant: a body whose `Content-Length` is too large is refused before it is read; a body
//! without `Content-Length` is refused as soon as it gets too large. A caller that stops sending
//! loses its memory permits after a timeout.

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

/// Bytes of one memory permit.
const UNIT: usize = 1024;

/// The number of memory permits that this number of bytes needs.
pub(super) fn permits(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS)
}

/// A whole body. Its memory permits are free again when it is dropped.
pub(super) struct BufferedBody {
    pub(super) bytes: Bytes,
    _permits: OwnedSemaphorePermit,
}

pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    limits: &Limits,
    memory: &Arc<Semaphore>,
) -> Result<BufferedBody, Refusal> {
    let (max, pause) = (limits.max_body, limits.body_timeout);
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > max) {
        return Err(Refusal::TooLarge { max });
    }
    // Without a length the largest body is assumed. Waiting for permits is back-pressure on the
    // caller.
    let wanted = permits(announced.unwrap_or(max)).min(permits(limits.body_memory));
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    let mut reserved = Arc::clone(memory).acquire_many_owned(wanted).await.map_err(|_| Refusal::Internal)?;
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(UNIT));
    while let Some(frame) = timeout(pause, body.frame()).await.map_err(|_| Refusal::BodyStalled { pause })? {
        let Ok(data) = frame.map_err(|_| Refusal::BodyBrokeOff)?.into_data() else { continue };
        if bytes.len() + data.len() > max {
            return Err(Refusal::TooLarge { max });
        }
        bytes.extend_from_slice(&data);
    }
    // Keep permits for the actual size only.
    let excess = reserved.num_permits().saturating_sub(permits(bytes.len()));
    drop(reserved.split(excess));
    Ok(BufferedBody { bytes: bytes.freeze(), _permits: reserved })
}

/// Reads the rest of a body in the background and drops it, for a limited time: a caller whose
/// connection is closed while it still sends may never see the refusal.
pub(super) fn discard(mut body: Body, within: Duration) {
    let rest = async move { while let Some(Ok(_)) = body.frame().await {} };
    // There is no runtime any more if the body is dropped while the runtime shuts down.
    if let Ok(runtime) = Handle::try_current() {
        drop(runtime.spawn(async move { timeout(within, rest).await }));
    }
}
