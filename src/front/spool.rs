//! The spool: where the front keeps registrations on its own disk while the broker takes none.
//!
//! A directory with one file for each attempt, written by [`Spool::store`], read and deleted by the
//! [`relay`](Spool::relay) when the broker is back. View and token are in it as they are in the message: sealed.
//!
//! Invariant: [`Spool::store`] is `Ok` only when file and directory are on the disk, and a file is deleted only after
//! the broker's confirm. A crash at any point leaves a file whole, or a temporary one that nobody was told of.

mod directory;
mod drain;
mod envelope;
mod index;
#[cfg(feature = "inlets")]
pub mod inlet;
mod name;
mod relay;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

pub use drain::{Drained, Left};

use crate::domain::Cause;
use crate::pipeline::RegistrationMessage;
use crate::telemetry::{self, Metrics};
use directory::{Directory, Scan};
use index::{Index, Seen};
use name::Name;

/// Files that are written at the same time; each holds up a thread until it is on the disk.
const WRITERS: usize = 16;
/// A disk that takes longer than this is as good as none: the caller must be answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a spool is and how much it takes.
#[derive(Debug, Clone)]
pub struct SpoolSettings {
    /// The directory; it must be there, and be there again after a restart.
    pub directory: PathBuf,
    /// The bytes that all files together may have.
    pub max: u64,
    /// How long a file stays before it is relayed, so that the answer to OpenCRVS is not overtaken by what comes of
    /// the registration.
    pub rest: Duration,
}

/// Why a spool cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error("the spool {} is in use by another process: each front needs a directory of its own", .0.display())]
    InUse(PathBuf),
    /// The directory is not there, or not ours to write.
    #[error("the spool {} cannot be used: make the directory and let this user write to it", directory.display())]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// Why a registration was not spooled.
#[derive(Debug, thiserror::Error)]
pub enum NotSpooled {
    /// The bound is reached.
    #[error("it holds its {0} bytes already")]
    Full(u64),
    /// The disk is full, or broken, or read-only.
    #[error("its disk refuses: {0}")]
    Disk(#[source] io::Error),
    /// The disk did not answer in time; the file may be there.
    #[error("its disk does not answer")]
    Slow,
    /// A fault of the bridge itself.
    #[error("the registration could not be written down")]
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

/// The spool of one front. Clones share it; the directory is free again when the last of them is gone.
#[derive(Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

struct Inner {
    directory: Directory,
    index: Mutex<Index>,
    rest: Duration,
    /// Since when the broker has taken nothing, as far as anybody asked it.
    away_since: Mutex<Option<Instant>>,
    news: Notify,
    writers: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Spool {
    /// Takes the directory for this process alone, clears away what a crash left half written and counts the rest.
    ///
    /// # Errors
    /// [`SpoolError`] when another process has it, or it is not a directory that can be written.
    pub async fn open(settings: SpoolSettings, metrics: Arc<Metrics>) -> Result<Self, SpoolError> {
        let path = settings.directory.clone();
        let opened = tokio::task::spawn_blocking(move || Directory::open(&path)).await;
        let (directory, scan) = opened.unwrap_or_else(|cause| {
            let cause = io::Error::other(cause);
            Err(SpoolError::Unusable { directory: settings.directory.clone(), cause })
        })?;
        report(&directory, &scan);
        let index = Index::new(settings.max, scan.spooled, Instant::now());
        let inner = Inner {
            directory,
            index: Mutex::new(index),
            rest: settings.rest,
            away_since: Mutex::new(None),
            news: Notify::new(),
            writers: Arc::new(Semaphore::new(WRITERS)),
            metrics,
        };
        inner.show();
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Puts a registration on the disk; `accepted_at` becomes now, because the caller is answered only now.
    ///
    /// # Errors
    /// [`NotSpooled`]; an operator is told.
    pub async fn store(&self, mut message: RegistrationMessage) -> Result<(), NotSpooled> {
        message.registration.accepted_at = Timestamp::now();
        let stored = self.stored(&message).await;
        if let Err(fault) = &stored {
            self.inner.alarm(fault.cause());
            let key = &message.registration.key;
            tracing::error!(record.id = %key.record, attempt.id = %key.id(), error = %fault, "not spooled");
        }
        stored
    }

    async fn stored(&self, message: &RegistrationMessage) -> Result<(), NotSpooled> {
        let name = Name::of(&message.registration.key);
        let trace = telemetry::inject(&tracing::Span::current());
        let bytes = envelope::encode(message, &trace).map_err(|_| NotSpooled::Internal)?;
        let inner = Arc::clone(&self.inner);
        let write = async move {
            let writers = Arc::clone(&inner.writers);
            let permit = writers.acquire_owned().await.map_err(|_| NotSpooled::Internal)?;
            // Runs to its end whatever becomes of the caller, so what it reserved is given back or used.
            let task = tokio::task::spawn_blocking(move || {
                let stored = inner.store(&name, &bytes);
                drop(permit);
                stored
            });
            task.await.map_err(|_| NotSpooled::Internal)?
        };
        tokio::time::timeout(PATIENCE, write).await.unwrap_or(Err(NotSpooled::Slow))
    }

    /// Since when the broker has taken nothing; from now on, if it did until now.
    pub(super) fn broker_failed(&self) -> Instant {
        *lock(&self.inner.away_since).get_or_insert_with(Instant::now)
    }

    /// The broker has taken something.
    pub(super) fn broker_took(&self) {
        lock(&self.inner.away_since).take();
    }

    /// How many registrations wait in it.
    pub fn files(&self) -> usize {
        lock(&self.inner.index).files()
    }
}

impl Inner {
    fn store(&self, name: &Name, bytes: &[u8]) -> Result<(), NotSpooled> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut index = lock(&self.index);
        if !index.reserve(name, size) {
            return Err(NotSpooled::Full(index.max()));
        }
        drop(index);
        let placed = self.place(name, bytes, size);
        self.show();
        self.news.notify_one();
        placed.map_err(NotSpooled::Disk)?;
        self.metrics.spooled();
        Ok(())
    }

    /// What was reserved is committed or released here. Names change only while the index is locked, so that nobody
    /// deletes or sets aside another file than the one that was read.
    fn place(&self, name: &Name, bytes: &[u8], size: u64) -> io::Result<()> {
        let written = self.directory.write(name, bytes);
        let mut index = lock(&self.index);
        let named = written.and_then(|temporary| self.directory.give_name(&temporary, name));
        if let Err(cause) = named {
            index.release(size);
            return Err(cause);
        }
        index.commit(name.clone(), size, Instant::now() + self.rest);
        drop(index);
        // From here on it may be relayed, although nobody is promised it yet: a repeat does no harm.
        self.directory.sync()?;
        lock(&self.index).postpone(name, Instant::now() + self.rest);
        Ok(())
    }

    /// Deletes or moves a file and says so, unless it was written anew. It is not relayed any more, even if the disk
    /// refuses.
    fn finish(
        &self,
        seen: &Seen,
        away: impl FnOnce(&Directory, &Name) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut index = lock(&self.index);
        if !index.is(seen) {
            return Ok(false);
        }
        let done = away(&self.directory, &seen.name);
        index.remove(&seen.name);
        drop(index);
        self.show();
        done.map(|()| true)
    }

    fn show(&self) {
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
        tracing::warn!(spool = %path, corrupt, "the spool holds *.corrupt files: look into them");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
