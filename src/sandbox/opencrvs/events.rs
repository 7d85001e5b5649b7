//! The events generation (1.9 and 2.0) of the simulated OpenCRVS: records are rows of actions, the bridge is triggered,
//! and answers come by tRPC.
//!
//! It is the strictest of all its releases at once. A request stays whatever the trigger answered; whoever retries is
//! told that all is well, and nobody is called again. A 200 with a member that is not expected is a fault. What core
//! does not check is not checked here either, and what then breaks is counted.
//!
//! Invariant: nothing that core would have broken is repaired here.

mod actions;
mod country;
mod document;
mod procedures;
mod submit;

use serde::Serialize;
use serde_json::Value;

use super::book::Book;
use super::record::Status;

pub(super) use actions::IDENTIFIER;
pub(super) use country::router as country_config;
pub(super) use procedures::router as procedures;

/// What only the events generation knows of a record.
#[derive(Debug, Clone, Default)]
pub struct EventFile {
    /// The actions as core stores them, oldest first.
    pub actions: Vec<Value>,
    /// The trigger of the newest request was answered with what core takes for a failure.
    pub failed: bool,
    /// How often the client's own retry was told that all is well although nobody was called.
    pub hollow_retries: u32,
    /// Fields that no form defines, which were written all the same: the record is broken for good.
    pub undefined: Vec<String>,
    /// The index shows the record as requested although it is answered: the answer overtook our 202.
    pub stale_index: bool,
    /// How often an answer was repeated, which does nothing.
    pub repeats: u32,
    /// A write that was dropped because its transaction id is that of another one.
    pub dropped: u32,
    /// Answers that came after the other answer; core refuses them.
    pub contradicted: u32,
    /// Our 400 came after the acceptance: core notes both, and shows what is registered as rejected.
    pub crossed: bool,
    /// The bridge rejected the newest request after it had taken it over.
    pub rejected: bool,
    /// The reason, if it was told.
    pub reason: Option<String>,
}

/// What a real core would have broken, and how the records of this generation stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EventsTally {
    /// Records of this generation.
    pub records: u64,
    /// Records that are registered.
    pub registered: u64,
    /// Records that the bridge rejected, after it had taken them over.
    pub rejected: u64,
    /// Records whose request is still open.
    pub requested: u64,
    /// Of these, records whose trigger failed: nobody but an operator gets them out, unless the bridge has them.
    pub stranded: u64,
    /// Records that a field which no form defines has broken.
    pub poisoned: u64,
    /// Records that the index shows wrongly.
    pub stale_index: u64,
    /// Answers that were dropped for their transaction id.
    pub dropped: u64,
    /// Answers after the other answer.
    pub contradicted: u64,
    /// Records that are registered and shown as rejected.
    pub crossed: u64,
    /// Answers that were repeated, which does nothing.
    pub repeats: u64,
}

impl EventsTally {
    pub fn of(book: &Book) -> Self {
        let mut sum = Self::default();
        for (_, record) in book.records() {
            let Some(file) = &record.event else { continue };
            sum.records += 1;
            sum.poisoned += u64::from(!file.undefined.is_empty());
            sum.stale_index += u64::from(file.stale_index);
            sum.dropped += u64::from(file.dropped);
            sum.contradicted += u64::from(file.contradicted);
            sum.crossed += u64::from(file.crossed);
            sum.repeats += u64::from(file.repeats);
            match record.status() {
                Status::Registered | Status::Certified => sum.registered += 1,
                Status::Rejected => sum.rejected += u64::from(file.rejected),
                Status::WaitingValidation => {
                    sum.requested += 1;
                    sum.stranded += u64::from(file.failed);
                }
                Status::Declared | Status::Archived => {}
            }
        }
        sum
    }

    /// Whether nothing is broken.
    pub fn is_whole(&self) -> bool {
        [self.stranded, self.poisoned, self.stale_index, self.dropped, self.contradicted, self.crossed]
            == [0; 6]
    }
}

#[cfg(test)]
mod tests;
