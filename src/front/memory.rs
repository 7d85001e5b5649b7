//! The memory for the bodies of registrations.
//!
//! Invariant: all bodies together stay within [`Limits::body_memory`](super::Limits), and bodies
//! of usual size never wait for large ones: a quarter of the memory is theirs alone. Only as many
//! large bodies are parsed at once as there are processors.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::{Limits, Refusal};

/// Bytes of one permit.
const UNIT: usize = 1024;
/// Bytes up to which a body has its share of the memory for certain. A registration without
/// attachments is far smaller.
const USUAL: usize = 256 * 1024;

/// One permit of `all` stands for 1 KiB. Large bodies need permits of `large` as well.
pub(super) struct BodyMemory {
    all: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// All permits of `large`: the largest body may take them.
    most: usize,
    /// What is built from a body takes up to twice its size, for as long as it is parsed.
    parsing: Semaphore,
    wait: Duration,
}

/// The memory of one body. It is free again when this is dropped.
pub(super) struct Reserved {
    all: OwnedSemaphorePermit,
    large: Option<OwnedSemaphorePermit>,
}

impl BodyMemory {
    pub(super) fn new(limits: &Limits) -> Self {
        let all = permits(limits.body_memory).max(4);
        let most = all - all / 4;
        Self {
            all: Arc::new(Semaphore::new(all)),
            large: Arc::new(Semaphore::new(most)),
            most,
            parsing: Semaphore::new(available_parallelism().map_or(1, usize::from)),
            wait: limits.memory_wait,
        }
    }

    /// Reserves memory for a body of this many bytes, and waits for it if other bodies have it.
    ///
    /// # Errors
    /// [`Refusal::MemoryFull`] after [`Limits::memory_wait`].
    pub(super) async fn reserve(&self, bytes: usize) -> Result<Reserved, Refusal> {
        let wanted = permits(bytes).min(self.most);
        let reserving = async {
            let large = match bytes {
                ..=USUAL => None,
                _ => Some(take(&self.large, wanted).await?),
            };
            Some(Reserved { all: take(&self.all, wanted).await?, large })
        };
        match timeout(self.wait, reserving).await {
            Ok(reserved) => reserved.ok_or(Refusal::Internal),
            Err(_) => Err(Refusal::MemoryFull { waited: self.wait }),
        }
    }

    /// Waits until a large body may be parsed.
    pub(super) async fn parse(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.parsing.acquire().await.map_err(|_| Refusal::Internal)
    }
}

impl Reserved {
    /// Keeps memory for this many bytes only.
    pub(super) fn shrink(&mut self, bytes: usize) {
        for held in [Some(&mut self.all), self.large.as_mut()].into_iter().flatten() {
            let excess = held.num_permits().saturating_sub(permits(bytes));
            drop(held.split(excess));
        }
    }
}

async fn take(from: &Arc<Semaphore>, wanted: usize) -> Option<OwnedSemaphorePermit> {
    Arc::clone(from).acquire_many_owned(u32::try_from(wanted).unwrap_or(u32::MAX)).await.ok()
}

fn permits(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS)
}
