//! The answer of an attempt, put together from the ledger.

use crate::domain::{Answer, Cause, NationalId};
use crate::ledger::Case;
use crate::pipeline::stage::StageFault;
use crate::seal::{Field, Sealer};

/// Reads the answer; an issued ID is opened for it.
pub(super) fn of(sealer: &Sealer, case: &Case) -> Result<Answer, StageFault> {
    let label = case.attempt.answer.ok_or(StageFault::Message(Cause::Malformed))?;
    Answer::of(label, case.attempt.reason.clone(), || {
        let sealed = case.record.sealed_id.as_deref().ok_or(StageFault::Message(Cause::Unsealable))?;
        let plain = sealer.open(&case.record.id, Field::NationalId, sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| StageFault::Message(Cause::Malformed))?;
        let id = NationalId::parse(text).map_err(|_| StageFault::Message(Cause::Malformed))?;
        Ok(id)
    })
}
