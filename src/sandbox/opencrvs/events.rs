//! The events generation (1.9 and 2.0) of the simulated OpenCRVS: records are rows of actions, the
//! bridge is triggered, and answers come by tRPC.
//!
//! It is the strictest of all its releases at once. A request stays whatever the trigger answered;
//! a client that retries is answered as if it had succeeded, without another trigger. A 200 with an
//! unexpected member is a fault. What core does not check is not checked here either; the damage is
//! counted.
//!
//! Invariant: nothing that core would have broken is repaired here.

mod actions;
mod country;
mod document;
mod procedures;
mod submit;

use serde::Serialize;
use serde_json::Value;

use super::record::Status;
use super::records::Records;

pub(super) use actions::IDENTIFIER;
pub(super) use country::router as country_config;
pub(super) use procedures::router as procedures;

/// What only the events generation knows of a record.
#[derive(Debug, Clone, Default)]
pub struct EventFile {
    /// The actions as core stores them, oldest first.
    pub actions: Vec<Value>,
    /// The trigger of the newest request failed, as core sees it.
    pub failed: bool,
    /// How often a client's retry was answered as a success without a trigger.
    pub hollow_retries: u32,
    /// Fields that were written although no form defines them. They break the record permanently.
    pub undefined: Vec<String>,
    /// The index shows the record as requested although it is answered: the answer overtook our
    /// 202.
    pub stale_index: bool,
    /// How often an answer was repeated. A repetition has no effect.
    pub repeats: u32,
    /// A write that was dropped because its transaction id is that of another one.
    pub dropped: u32,
    /// Answers that came after the other answer; core refuses them.
    pub contradicted: u32,
    /// Our 400 came after the acceptance: core stores both, and shows the registered record as
    /// rejected.
    pub crossed: bool,
    /// The bridge rejected the newest request after it had accepted it.
    pub rejected: bool,
    /// The reason of the rejection, if it was given.
    pub reason: Option<String>,
}

/// What a real core would have broken, and how the records of this generation stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EventsTally {
    /// Records of this generation.
    pub records: u64,
    /// Records that are registered.
    pub registered: u64,
    /// Records that the bridge rejected after it had accepted them.
    pub rejected: u64,
    /// Records whose request is still open.
    pub requested: u64,
    /// Of these, records whose trigger failed. Unless the bridge has them, they need an operator.
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
    /// Repeated answers. They have no effect.
    pub repeats: u64,
}

impl EventsTally {
    pub fn of(records: &Records) -> Self {
        let mut sum = Self::default();
        for (_, record) in records.all() {
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
