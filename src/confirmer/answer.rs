//! The answer of an attempt, put together from the ledger.

use crate::domain::resolve::Label;
use crate::domain::{Answer, Cause, NationalId, Reason, ReasonCode};
use crate::ledger::Case;
use crate::seal::{Field, Sealer};
use crate::worker::settle::Fault;

/// Reads the answer; an issued ID is opened for it.
pub(super) fn of(sealer: &Sealer, case: &Case) -> Result<Answer, Fault> {
    match case.attempt.answer {
        Some(Label::Issued) => {
            let sealed = case.record.sealed_id.as_deref().ok_or(Fault::Message(Cause::Unsealable))?;
            let plain = sealer.open(&case.record.id, Field::NationalId, sealed)?;
            let text = std::str::from_utf8(&plain).map_err(|_| Fault::Message(Cause::Malformed))?;
            let id = NationalId::parse(text).map_err(|_| Fault::Message(Cause::Malformed))?;
            Ok(Answer::Issued { id, kind: case.record.id_kind })
        }
        Some(Label::Recorded) => Ok(Answer::Recorded),
        Some(Label::Rejected) => {
            let unknown = Reason { code: ReasonCode::Other, fields: Vec::new() };
            Ok(Answer::Rejected(case.attempt.reason.clone().unwrap_or(unknown)))
        }
        Some(Label::NotAsked) => Ok(Answer::NotAsked),
        None => Err(Fault::Message(Cause::Malformed)),
    }
}
