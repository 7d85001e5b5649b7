//! Draining a directory whose front is gone: the same steps as the relay's, but with an end.
//!
//! Invariant: it ends when nothing is left, when it is told to, or when the broker has taken nothing for as long as
//! the caller is patient; what is left is told.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Spool;
use super::relay::{Pause, Step};
use crate::broker::Publisher;

/// What came of draining.
#[derive(Debug)]
pub struct Drained {
    /// Registrations that the broker has now.
    pub relayed: usize,
    /// Files that cannot be relayed: they are `*.corrupt` now.
    pub set_aside: usize,
    /// Why it ended early.
    pub left: Option<Left>,
}

/// What is left, and why.
#[derive(Debug)]
pub struct Left {
    /// Registrations that are still there.
    pub files: usize,
    /// What stood in the way.
    pub why: String,
}

impl Spool {
    /// Relays until nothing is left.
    pub async fn drain(&self, publisher: &Publisher, patience: Duration, stop: CancellationToken) -> Drained {
        let (mut relayed, mut set_aside, mut pause) = (0, 0, Pause::new());
        let mut deadline = Instant::now() + patience;
        let mut why = "the broker cannot be reached".to_owned();
        let left = loop {
            let Some(seen) = self.first() else { break None };
            let patient = deadline.saturating_duration_since(Instant::now());
            let taken = tokio::select! {
                () = stop.cancelled() => {
                    why = "told to stop".to_owned();
                    false
                }
                taken = publisher.available(patient) => taken && !patient.is_zero(),
            };
            if !taken {
                break Some(Left { files: self.files(), why });
            }
            match self.step(&seen, publisher).await {
                Step::Relayed => relayed += 1,
                Step::SetAside => set_aside += 1,
                Step::Failed(fault) => {
                    why = fault.to_string();
                    tokio::time::sleep(pause.next().min(patient)).await;
                    continue;
                }
            }
            pause.reset();
            deadline = Instant::now() + patience;
        };
        Drained { relayed, set_aside, left }
    }
}
