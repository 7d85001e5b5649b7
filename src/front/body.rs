//! Reads a body into memory, within a limit for one body and a limit for all bodies together.
//!
//! Invariant: a body whose `Content-Length` is too large is refused before it is read; a body
//! without `Content-Length` is refused as soon as it gets too large. A caller that stops sending,
//! or sends too slowly, loses its memory.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};

use super::memory::{BodyMemory, Reserved};
use super::{Limits, Refusal};

/// Bytes that are set aside for a body without a length, at first.
const UNKNOWN: usize = 1024;

/// A whole body. Its memory is free again when it is dropped.
pub(super) struct BufferedBody {
    pub(super) bytes: Bytes,
    _memory: Reserved,
}

pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    limits: &Limits,
    memory: &BodyMemory,
) -> Result<BufferedBody, Refusal> {
    let max = limits.max_body;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > max) {
        return Err(Refusal::TooLarge { max });
    }
    // Without a length the largest body is assumed.
    let mut reserved = memory.reserve(announced.unwrap_or(max)).await?;
    let pace = Pace { begun: Instant::now(), pause: limits.body_timeout, rate: limits.body_rate };
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(UNKNOWN));
    while let Some(frame) = pace.in_time(bytes.len(), body.frame()).await? {
        let Ok(data) = frame.map_err(|_| Refusal::BodyBrokeOff)?.into_data() else { continue };
        if bytes.len() + data.len() > max {
            return Err(Refusal::TooLarge { max });
        }
        bytes.extend_from_slice(&data);
    }
    // The buffer of a body without a length may be half empty.
    reserved.shrink(bytes.capacity());
    Ok(BufferedBody { bytes: bytes.freeze(), _memory: reserved })
}

/// How fast a body has to arrive.
struct Pace {
    begun: Instant,
    /// Longest pause within a body.
    pause: Duration,
    /// Bytes a second that a body has to reach on average, after the first `pause`.
    rate: usize,
}

impl Pace {
    /// Waits for the next part of a body of which `received` bytes have arrived.
    async fn in_time<T>(&self, received: usize, next: impl Future<Output = T>) -> Result<T, Refusal> {
        let millis = received.saturating_mul(1_000) / self.rate.max(1);
        let earned = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        let (stalled, slow) = (Instant::now() + self.pause, self.begun + self.pause + earned);
        timeout_at(stalled.min(slow), next).await.map_err(|_| match slow < stalled {
            true => Refusal::BodySlow { rate: self.rate },
            false => Refusal::BodyStalled { pause: self.pause },
        })
    }
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
