//! The events generation (1.9 and 2.0) of the simulated OpenCRVS: a record is a list of actions,
//! core triggers the bridge, and the bridge answers over tRPC.
//!
//! It combines the strictest behaviour of all its releases. A request stays open whatever the
//! trigger answered. A client that retries is answered with a success, without another trigger. A
//! 200 with an unexpected member is a fault. What core does not check is not checked here either;
//! the damage is counted.
//!
//! Invariant: damage that core would have done is never repaired here.

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

/// The part of a record that only the events generation has.
#[derive(Debug, Clone, Default)]
pub struct EventFile {
    /// The actions as core stores them, oldest first.
    pub actions: Vec<Value>,
    /// Whether core saw the trigger of the newest request fail.
    pub failed: bool,
    /// How often a client's retry was answered with a success although no trigger was sent.
    pub retries_without_trigger: u32,
    /// Fields that were written although no form defines them. Each breaks the record permanently.
    pub undefined: Vec<String>,
    /// The index shows the record as requested although it is answered, because the answer came
    /// before our 202.
    pub stale_index: bool,
    /// How often the same answer came again. A repeated answer has no effect.
    pub repeats: u32,
    /// Writes that core dropped because another write has the same transaction id.
    pub dropped: u32,
    /// Answers that came after a different answer. Core refuses them.
    pub contradicted: u32,
    /// Our 400 came after the acceptance. Core stores both, and shows the registered record as
    /// rejected.
    pub crossed: bool,
    /// The bridge rejected the newest request after it had accepted it.
    pub rejected: bool,
    /// The reason of the rejection, if the bridge gave one.
    pub reason: Option<String>,
}

/// The damage that a real core would have done, and the states of the records of this generation.
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
    /// Open records whose trigger failed. They need an operator unless the bridge has them.
    pub stranded: u64,
    /// Records that are broken by a field which no form defines.
    pub poisoned: u64,
    /// Records that the index shows wrongly.
    pub stale_index: u64,
    /// Answers that core dropped because of their transaction id.
    pub dropped: u64,
    /// Answers that came after a different answer.
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

    /// Whether no record is damaged or stranded.
    pub fn is_undamaged(&self) -> bool {
        [self.stranded, self.poisoned, self.stale_index, self.dropped, self.contradicted, self.crossed]
            == [0; 6]
    }
}

#[cfg(test)]
mod tests;
