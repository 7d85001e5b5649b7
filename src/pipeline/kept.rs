//! The registration that a request or an outcome carries, so that the attempt can be taken in again
//! if a restored ledger does not have it.
//!
//! Invariant: the registration is that of the same attempt, with the record's number. It holds ids
//! and sealed text only.

use std::time::Duration;

use super::RegistrationMessage;
use crate::domain::{AttemptKey, Dialect, Registration};
use crate::ledger::Case;

/// The registration of a case, or `None` if its sealed view was erased or its mark is not known.
pub(super) fn registration(case: &Case) -> Option<RegistrationMessage> {
    let (record, attempt) = (&case.record, &case.attempt);
    let registration = Registration {
        key: key(case)?,
        kind: record.kind.clone(),
        tracking_id: record.tracking_id.clone(),
        office: record.office.clone(),
        accepted_at: attempt.accepted_at,
        wait: Duration::ZERO,
        token_expires_at: attempt.token_expires_at.filter(|_| attempt.sealed_token.is_some()),
        number: record.number.clone(),
        unheard: false,
    };
    Some(RegistrationMessage::new(registration, attempt.sealed_view.clone()?, attempt.sealed_token.clone()))
}

/// The key of the attempt. The ledger does not store the mark of the FHIR generation, which is the
/// stamp as OpenCRVS wrote it, so the usual spellings are tried until one gives the attempt's id.
fn key(case: &Case) -> Option<AttemptKey> {
    let stamp = case.attempt.stamp;
    let marks = match case.record.dialect {
        Dialect::Events => vec![case.attempt.action.as_ref()?.to_string()],
        Dialect::Fhir => vec![
            stamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            stamp.strftime("%Y-%m-%dT%H:%M:%S.%3f+00:00").to_string(),
            stamp.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
        ],
    };
    let key = |mark| AttemptKey { dialect: case.record.dialect, record: case.record.id.clone(), mark, stamp };
    marks.into_iter().map(key).find(|key| key.id() == case.attempt.id)
}
