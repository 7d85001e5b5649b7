//! The spool: stores registrations on the front's own disk while the broker is unavailable.
//!
//! It is a directory with one file for each attempt. [`Spool::store`] writes the file; the
//! [`relay`](Spool::relay) publishes and deletes it when the broker is available again. View and
//! token are sealed in the file, as they are in the message.
//!
//! Invariant: [`Spool::store`] returns `Ok` only once file and directory are synced to the disk; a
//! file is deleted only after the broker's confirm. A crash at any point leaves a complete file, or
//! a temporary one whose registration was not accepted. A file that no front of this deployment
//! wrote is neither published nor deleted.

mod admission;
mod aside;
mod directory;
mod drain;
mod envelope;
mod index;
#[cfg(feature = "inlets")]
pub mod inlet;
mod name;
mod relay;
mod store;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

pub use drain::{Drained, Left};
pub use envelope::Trust;

use crate::domain::Cause;
use crate::telemetry::Metrics;
use aside::Aside;
use directory::{Directory, Scan};
use index::{FileVersion, Index};
use name::FileName;

/// Maximum number of files that are written at the same time. Each blocks a thread until it is on
/// the disk.
const WRITERS: usize = 16;

#[derive(Debug, Clone)]
pub struct SpoolSettings {
    /// The directory must exist, and its files must survive a restart.
    pub directory: PathBuf,
    /// Maximum size of all files together, in bytes.
    pub max: u64,
    /// Minimum age at which a file is relayed, so that OpenCRVS gets the 202 before the confirmer
    /// writes.
    pub min_age: Duration,
    pub trust: Trust,
}

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("the spool {} is in use by another process: each front needs a directory of its own", .0.display())]
    InUse(PathBuf),
    /// The directory does not exist, or this user may not write to it.
    #[error("the spool {} cannot be used: make the directory and let this user write to it", directory.display())]
    Unusable {
        directory: PathBuf,
        #[source]
        cause: io::Error,
    },
}

/// Why a registration was not spooled.
#[derive(Debug, thiserror::Error)]
pub enum NotSpooled {
    #[error("it is full: all of its {0} bytes are in use")]
    Full(u64),
    /// The disk is full, or broken, or read-only.
    #[error("its disk fails: {0}")]
    Disk(#[source] io::Error),
    /// The file may have been written all the same.
    #[error("its disk is too slow")]
    Slow,
    /// A fault of the bridge itself.
    #[error("the registration could not be encoded")]
    Internal,
}

impl NotSpooled {
    fn cause(&self) -> Cause {
        match self {
            Self::Full(_) => Cause::SpoolFull,
            Self::Disk(_) | Self::Slow => Cause::SpoolUnwritable,
            Self::Internal => Cause::Internal,
        }
    }
}

/// The spool of one front. Clones share it; the directory is unlocked when the last of them is
/// dropped.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    directory: Directory,
    trust: Trust,
    index: Mutex<Index>,
    min_age: Duration,
    aside: Aside,
    /// Time of the first failed publish since the last confirm; `None` if none has failed.
    broker_failing_since: Mutex<Option<Instant>>,
    /// Notified when a file has been stored.
    stored: Notify,
    writers: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Spool {
    /// Locks the directory for this process, deletes temporary files that a crash left, and counts
    /// the others.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn open(settings: SpoolSettings, metrics: Arc<Metrics>) -> Result<Self, SpoolError> {
        let path = settings.directory.clone();
        let opened = tokio::task::spawn_blocking(move || Directory::open(&path)).await;
        let (directory, scan) = opened.unwrap_or_else(|cause| {
            let cause = io::Error::other(cause);
            Err(SpoolError::Unusable { directory: settings.directory.clone(), cause })
        })?;
        report(&directory, &scan);
        let index = Index::new(settings.max, scan.spooled, Instant::now());
        let shared = Shared {
            directory,
            trust: settings.trust,
            index: Mutex::new(index),
            min_age: settings.min_age,
            aside: Aside::default(),
            broker_failing_since: Mutex::new(None),
            stored: Notify::new(),
            writers: Arc::new(Semaphore::new(WRITERS)),
            metrics,
        };
        shared.report_size();
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Records a failed publish. Returns the time of the first failure since the last confirm.
    pub(super) fn broker_failed(&self) -> Instant {
        *lock(&self.shared.broker_failing_since).get_or_insert_with(Instant::now)
    }

    /// Records that the broker confirmed a publish.
    pub(super) fn broker_accepted(&self) {
        lock(&self.shared.broker_failing_since).take();
    }

    /// The number of registrations in the spool.
    pub fn files(&self) -> usize {
        lock(&self.shared.index).files()
    }
}

impl Shared {
    /// Deletes or renames a file that the relay is done with. Returns `false` if the file was
    /// overwritten in the meantime. This process does not relay the file again, even if the disk
    /// fails.
    fn retire(
        &self,
        file: &FileVersion,
        remove: impl FnOnce(&Directory, &FileName) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut index = lock(&self.index);
        if !index.is_current(file) {
            return Ok(false);
        }
        let done = remove(&self.directory, &file.name);
        index.remove(&file.name);
        drop(index);
        self.report_size();
        done.map(|()| true)
    }

    fn report_size(&self) {
        let index = lock(&self.index);
        self.metrics.spool_holds(index.files(), index.bytes());
    }

    fn alarm(&self, cause: Cause) {
        self.metrics.alarm(cause);
    }
}

fn report(directory: &Directory, scan: &Scan) {
    let (spooled, corrupt) = (scan.spooled.len(), scan.corrupt);
    let path = directory.path().display();
    tracing::info!(spool = %path, spooled, half_written = scan.cleared, "the spool is open");
    if corrupt > 0 {
        tracing::warn!(spool = %path, corrupt, "the spool has *.corrupt files: see `nidbridge causes spool_corrupt`");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
