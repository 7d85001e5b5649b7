//! Unseals the answer and the token of an attempt.

use secrecy::SecretString;

use crate::domain::{ActionId, Answer, Cause, NationalId};
use crate::ledger::Case;
use crate::opencrvs;
use crate::pipeline::stage::StageFault;
use crate::seal::{Field, Sealer};

/// Reads the answer of an attempt. Only an issued ID is sealed.
pub(super) fn answer_of(sealer: &Sealer, case: &Case) -> Result<Answer, StageFault> {
    let kind = case.attempt.answer.ok_or(StageFault::Message(Cause::Malformed))?;
    Answer::of(kind, case.attempt.reason.clone(), || {
        open(sealer, case, Field::NationalId, case.record.sealed_id.as_deref(), |text| {
            NationalId::parse(text).map_err(|_| StageFault::Message(Cause::Malformed))
        })
    })
}

pub(crate) fn token_of(sealer: &Sealer, case: &Case) -> Result<SecretString, StageFault> {
    let sealed = case.attempt.sealed_token.as_deref();
    open(sealer, case, Field::Token, sealed, |text| Ok(SecretString::from(text)))
}

/// The action to answer, or `None` in the FHIR generation. In a row that an older release wrote,
/// only the token names it; the token can be read although it has expired.
pub(crate) fn action_of(sealer: &Sealer, case: &Case) -> Option<ActionId> {
    case.attempt.action.clone().or_else(|| opencrvs::action_of(&token_of(sealer, case).ok()?))
}

fn open<T>(
    sealer: &Sealer,
    case: &Case,
    field: Field,
    sealed: Option<&str>,
    read: impl FnOnce(&str) -> Result<T, StageFault>,
) -> Result<T, StageFault> {
    let sealed = sealed.ok_or(StageFault::Message(Cause::Unsealable))?;
    let plain = sealer.open(&case.record.id, field, sealed)?;
    read(std::str::from_utf8(&plain).map_err(|_| StageFault::Message(Cause::Malformed))?)
}
