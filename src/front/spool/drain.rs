//! Relays the spool of a front that does not run any more, until the spool is empty.
//!
//! Invariant: draining ends when no file is left, when it is told to stop, or when the broker has
//! accepted nothing for the given time; the result says what is left.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Spool;
use super::relay::{LONGEST_PAUSE, RelayResult};
use crate::broker::{Backoff, Publisher};

/// The result of draining a spool.
#[derive(Debug)]
pub struct Drained {
    /// Number of registrations that the broker has now.
    pub relayed: usize,
    /// Number of files that cannot be relayed. They were renamed to `*.corrupt`.
    pub set_aside: usize,
    /// `None` if the spool is empty now.
    pub left: Option<Left>,
}

/// What is left in the spool, and why.
#[derive(Debug)]
pub struct Left {
    /// Number of registrations.
    pub files: usize,
    pub why: String,
}

impl Spool {
    /// Relays until no file is left, or the broker has accepted none for `patience`.
    pub async fn drain(&self, publisher: &Publisher, patience: Duration, stop: CancellationToken) -> Drained {
        let (mut relayed, mut set_aside) = (0, 0);
        let mut backoff = Backoff::new(LONGEST_PAUSE);
        let mut deadline = Instant::now() + patience;
        let mut why = "the broker cannot be reached".to_owned();
        let left = loop {
            let Some(file) = self.first() else { break None };
            let remaining = deadline.saturating_duration_since(Instant::now());
            let available = tokio::select! {
                () = stop.cancelled() => {
                    why = "told to stop".to_owned();
                    false
                }
                available = publisher.available(remaining) => available && !remaining.is_zero(),
            };
            if !available {
                break Some(Left { files: self.files(), why });
            }
            match self.relay_one(&file, publisher).await {
                RelayResult::Published => relayed += 1,
                RelayResult::SetAside => set_aside += 1,
                RelayResult::Failed(fault) => {
                    why = fault.to_string();
                    tokio::time::sleep(backoff.next(1.0).min(remaining)).await;
                    continue;
                }
            }
            backoff.reset();
            deadline = Instant::now() + patience;
        };
        Drained { relayed, set_aside, left }
    }
}
