//! Unseals the answer and the token of an attempt.

use crate::domain::{ActionId, Answer, Cause, NationalId};
use crate::ledger::Case;
use crate::opencrvs;
use crate::pipeline::stage::StageFault;
pub(crate) use crate::pipeline::unseal::token_of;
use crate::pipeline::unseal::unseal;
use crate::seal::{Field, Sealer};

/// Reads the answer of an attempt. Only an issued ID is sealed.
pub(super) fn answer_of(sealer: &Sealer, case: &Case) -> Result<Answer, StageFault> {
    let kind = case.attempt.answer.ok_or(StageFault::Message(Cause::Malformed))?;
    Answer::of(kind, case.attempt.reason.clone(), || {
        unseal(sealer, case, Field::NationalId, case.record.sealed_id.as_deref(), |text| {
            NationalId::parse(text).map_err(|_| StageFault::Message(Cause::Malformed))
        })
    })
}

/// The action to answer, or `None` in the FHIR generation. In a row that an older release wrote,
/// only the token names it; the token can be read although it has expired.
pub(crate) fn action_of(sealer: &Sealer, case: &Case) -> Option<ActionId> {
    case.attempt.action.clone().or_else(|| opencrvs::action_of(&token_of(sealer, case).ok()?))
}
