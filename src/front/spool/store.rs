//! Stores a registration in the spool.
//!
//! Invariant: the room for a file is reserved before the file is written, and then either used or
//! released, even if the caller hangs up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::name::FileName;
use super::{NotSpooled, Shared, Spool, envelope, lock};
use crate::pipeline::RegistrationMessage;
use crate::telemetry;

/// Timeout of storing a registration. It exists because the caller must get a response.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

impl Spool {
    /// Stores a registration. It is accepted now, because the caller gets its response only now,
    /// and no caller waits for a sync answer any more.
    ///
    /// # Errors
    /// [`NotSpooled`]; each such error raises an alarm.
    pub async fn store(&self, mut message: RegistrationMessage) -> Result<(), NotSpooled> {
        message.registration.accepted_at = Timestamp::now();
        message.registration.wait = Duration::ZERO;
        let stored = self.write(&message).await;
        if let Err(fault) = &stored {
            self.shared.alarm(fault.cause());
            let key = &message.registration.key;
            tracing::error!(record.id = %key.record, attempt.id = %key.id(), error = %fault, "the registration could not be spooled");
        }
        stored
    }

    async fn write(&self, message: &RegistrationMessage) -> Result<(), NotSpooled> {
        let name = FileName::of(&message.registration.key);
        let trace = telemetry::inject(&tracing::Span::current());
        let bytes =
            envelope::encode(&self.shared.trust.keys, message, &trace).map_err(|_| NotSpooled::Internal)?;
        let shared = Arc::clone(&self.shared);
        let write = async move {
            let writers = Arc::clone(&shared.writers);
            let permit = writers.acquire_owned().await.map_err(|_| NotSpooled::Internal)?;
            // Runs to its end even if the caller hangs up, so that the reserved room is used or
            // released.
            let task = tokio::task::spawn_blocking(move || {
                let stored = shared.store(&name, &bytes);
                drop(permit);
                stored
            });
            task.await.map_err(|_| NotSpooled::Internal)?
        };
        tokio::time::timeout(STORE_TIMEOUT, write).await.unwrap_or(Err(NotSpooled::Slow))
    }
}

impl Shared {
    fn store(&self, name: &FileName, bytes: &[u8]) -> Result<(), NotSpooled> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut index = lock(&self.index);
        if !index.reserve(name, size) {
            return Err(NotSpooled::Full(index.max()));
        }
        drop(index);
        let placed = self.place(name, bytes, size);
        self.report_size();
        self.stored.notify_one();
        placed.map_err(NotSpooled::Disk)?;
        self.metrics.spooled();
        Ok(())
    }

    /// Commits or releases the reserved room. Files get their names only while the index is locked,
    /// so that the relay never deletes or sets aside another version of a file than the one it
    /// read.
    fn place(&self, name: &FileName, bytes: &[u8], size: u64) -> io::Result<()> {
        let written = self.directory.write(name, bytes);
        let mut index = lock(&self.index);
        let named = written.and_then(|temporary| self.directory.give_name(&temporary, name));
        if let Err(cause) = named {
            index.release(size);
            return Err(cause);
        }
        index.commit(name.clone(), size, Instant::now() + self.min_age);
        drop(index);
        // From here on the relay may publish the file, although the registration is not accepted
        // yet: a repeat does no harm.
        self.directory.sync()?;
        lock(&self.index).postpone(name, Instant::now() + self.min_age);
        Ok(())
    }
}
