//! Counts what a command did to many items, and derives its exit code.
//!
//! Invariant: a command ends with exit code 0 only if every item was done or needed nothing.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::output;
use crate::roles::Failure;

/// Why items were not done, in ascending order: if there are several reasons, the greatest one
/// decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Miss {
    /// The item may be done when the command is run again (exit code 75).
    TryAgain,
    /// The item cannot be done until something is changed (exit code 1).
    Failed,
    /// Something that the command needs cannot be reached (exit code 69).
    Unavailable,
    /// The two sides differ (exit code 3).
    Differs,
}

/// How many items were done, and why the others were not.
#[derive(Debug, Default)]
pub(super) struct Tally {
    done: u64,
    skipped: u64,
    missed: BTreeMap<Miss, u64>,
}

impl Tally {
    pub(super) fn add_done(&mut self) {
        self.done += 1;
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// Counts an item that needs nothing, and prints why.
    pub(super) fn skip(&mut self, item: impl Display, why: &str) -> Result<(), Failure> {
        self.skipped += 1;
        output::line(&format!("{item}: {why}"))
    }

    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Counts an item that was not done, and prints why.
    pub(super) fn miss(&mut self, miss: Miss, item: impl Display, why: &str) -> Result<(), Failure> {
        self.add_missed(miss, 1);
        output::line(&format!("{item}: {why}"))
    }

    /// Counts items that were not done and are reported elsewhere.
    pub(super) fn add_missed(&mut self, miss: Miss, count: u64) {
        if count > 0 {
            *self.missed.entry(miss).or_default() += count;
        }
    }

    pub(super) fn missed(&self) -> u64 {
        self.missed.values().sum()
    }

    /// Succeeds if every item was done. Otherwise fails with the greatest reason, and with the text
    /// that `say` makes of that reason and its count.
    pub(super) fn verdict(&self, say: impl FnOnce(Miss, u64) -> String) -> Result<(), Failure> {
        let Some((miss, count)) = self.missed.last_key_value() else { return Ok(()) };
        let what = anyhow::Error::msg(say(*miss, *count));
        Err(match miss {
            Miss::TryAgain => Failure::Later(what),
            Miss::Failed => Failure::Failed(what),
            Miss::Unavailable => Failure::Unavailable(what),
            Miss::Differs => Failure::Differs(what),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(missed: &[Miss]) -> Result<(), Failure> {
        let mut tally = Tally::default();
        tally.add_done();
        for miss in missed {
            tally.add_missed(*miss, 2);
        }
        tally.verdict(|miss, count| format!("{count} {miss:?}"))
    }

    #[test]
    fn the_gravest_reason_decides_how_a_command_ends() {
        assert!(verdict(&[]).is_ok());
        assert!(matches!(verdict(&[Miss::TryAgain]), Err(Failure::Later(_))));
        assert!(matches!(verdict(&[Miss::Failed, Miss::TryAgain]), Err(Failure::Failed(_))));
        assert!(matches!(verdict(&[Miss::Unavailable, Miss::Failed]), Err(Failure::Unavailable(_))));
        let differs = verdict(&[Miss::Unavailable, Miss::Differs, Miss::Failed]).unwrap_err();
        assert!(matches!(&differs, Failure::Differs(_)));
        assert_eq!(differs.to_string(), "2 Differs");
    }

    #[test]
    fn what_was_missed_no_times_is_no_failure() {
        let mut tally = Tally::default();
        tally.add_missed(Miss::Failed, 0);
        assert!(tally.verdict(|_, _| String::new()).is_ok());
    }
}
