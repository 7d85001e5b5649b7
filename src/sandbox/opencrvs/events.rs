//! The events generation (1.9, 2.0 and 2.1) of the simulated OpenCRVS: a record is a list of
//! actions, core triggers the bridge, and the bridge answers over tRPC.
//!
//! It combines the strictest behaviour of all patches of a release. A request stays open whatever
//! the trigger answered. A client that retries is answered with a success, without another trigger.
//! A 200 with an unexpected member is a fault. What core does not check is not checked here either;
//! the damage is counted.
//!
//! Invariant: damage that core would have done is never repaired here; no code of the bridge's own
//! OpenCRVS client is used, so that an error in it cannot hide itself.

mod actions;
mod answers;
mod args;
mod behaviour;
mod clients;
mod confirm;
mod country;
mod credential;
pub(super) mod document;
mod file;
mod integrations;
mod procedures;
mod queries;
mod ready;
mod release;
mod scopes;
mod search;
mod sim;
mod state;
mod submit;
mod tokens;

use serde::Serialize;

use super::record::Status;
use super::records::Records;

pub(super) use actions::IDENTIFIER;
pub use args::EventsArgs;
pub use behaviour::EventsBehaviour;
pub use clients::{ClientCredentials, SystemClient};
pub(super) use country::router as country_config;
pub use credential::Credential;
pub use file::{ActionRequest, ActionState, Assignment, EventFile};
pub(super) use integrations::router as events_service;
pub(super) use procedures::router as procedures;
pub use ready::Announced;
pub use release::Release;
pub use sim::ActionSummary;
pub(super) use state::EventsState;
pub use state::TokenRequests;
pub(super) use tokens::TokenRefusal;

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
