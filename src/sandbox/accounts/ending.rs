//! How a record ended.

use crate::sandbox::opencrvs::{Record, Status};

/// How a record ended, as OpenCRVS and the operator see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Registered.
    Confirmed,
    /// Back with the registrar: the ID system rejected it, and the bridge told OpenCRVS, which is
    /// possible in the events generation only.
    Rejected,
    /// Waiting. The ID system rejected it, and an operator was told.
    Held,
    /// Waiting. It stopped for another cause, and an operator was told.
    Parked,
    /// Back with the registrar, because the last submission failed as far as core knows.
    Withdrawn,
    /// Waiting, and nobody was told.
    Open,
}

/// What an operator was told about a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// The ID system rejected it.
    pub held: bool,
    /// It stopped for another cause.
    pub parked: bool,
}

impl Ending {
    pub fn of(record: &Record, told: Told) -> Self {
        let was_rejected = record.event.as_ref().is_some_and(|event| event.rejected);
        match record.status() {
            Status::Registered | Status::Certified => Self::Confirmed,
            Status::Rejected if was_rejected => Self::Rejected,
            Status::Rejected | Status::Archived => Self::Withdrawn,
            Status::WaitingValidation if told.held => Self::Held,
            Status::WaitingValidation if told.parked => Self::Parked,
            Status::WaitingValidation | Status::Declared => Self::Open,
        }
    }
}
