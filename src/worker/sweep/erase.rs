//! Erases sealed values that were kept long enough.

use std::time::{Duration, Instant};

use super::Sweeper;
use crate::pipeline::elected::{Halt, Leadership};

/// Time between two searches for something to erase, or a hundredth of the retention if that is
/// shorter.
const LOOK_INTERVAL: Duration = Duration::from_secs(3_600);

/// Whether to search for something to erase. `all_erased` is the last time that nothing was left.
pub(super) fn is_due(all_erased: Option<Instant>, keep_sealed: Duration) -> bool {
    let pause = LOOK_INTERVAL.min(keep_sealed / 100);
    all_erased.is_none_or(|last| last.elapsed() >= pause)
}

impl Sweeper {
    /// Erases one batch of records and returns whether nothing is left.
    pub(super) async fn erase(&self, leadership: &mut Leadership<'_>) -> Result<bool, Halt> {
        let records = self.ledger.erasable(self.rules.keep_sealed, self.rules.batch).await?;
        for record in &records {
            leadership.check().await?;
            if self.ledger.erase(record, self.rules.keep_sealed).await? {
                self.metrics.erased();
            }
        }
        Ok(records.len() < self.rules.batch)
    }
}
