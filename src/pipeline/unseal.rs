//! Unseals values of an attempt that more than one role needs.

use secrecy::SecretString;

use super::stage::StageFault;
use crate::domain::Cause;
use crate::ledger::Case;
use crate::seal::{Field, Sealer};

pub(crate) fn token_of(sealer: &Sealer, case: &Case) -> Result<SecretString, StageFault> {
    let sealed = case.attempt.sealed_token.as_deref();
    unseal(sealer, case, Field::Token, sealed, |text| Ok(SecretString::from(text)))
}

pub(crate) fn unseal<T>(
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
