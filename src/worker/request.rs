//! Makes the request to the ID system about an attempt. *record* makes it to decide whether the ID
//! system is asked at all; *send* makes it again and sends it.
//!
//! Invariant: the same attempt, view and settings give the same request, byte for byte.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{Cause, View};
use crate::ledger::Case;
use crate::nid::{Ask, Facts, ask};
use crate::pipeline::stage::StageFault;
use crate::seal::{Field, Sealer};

/// What all requests have in common.
#[derive(Debug, Clone)]
pub struct RequestSettings {
    /// CloudEvents `source`.
    pub source: String,
    /// How long after the acceptance an answer is useful. An earlier expiry of the token shortens
    /// this time.
    pub deadline: Duration,
}

impl RequestSettings {
    /// `expires_at` of the attempt's request.
    pub(super) fn expires_at(&self, case: &Case) -> Timestamp {
        let deadline = case.attempt.accepted_at.saturating_add(self.deadline).unwrap_or(Timestamp::MAX);
        case.attempt.token_expires_at.map_or(deadline, |end| end.min(deadline))
    }
}

/// Opens the view of an attempt.
pub(super) fn open_view(sealer: &Sealer, case: &Case) -> Result<View, StageFault> {
    let sealed = case.attempt.sealed_view.as_deref().ok_or(StageFault::Message(Cause::Unsealable))?;
    let plain = sealer.open(&case.record.id, Field::View, sealed)?;
    serde_json::from_slice(&plain).map_err(|_| StageFault::Message(Cause::Malformed))
}

/// What to ask about an attempt, or `None` if the record has no registration number.
pub(super) fn ask_about(case: &Case, view: &View, settings: &RequestSettings) -> Option<Ask> {
    let facts = Facts {
        request: case.record.request,
        submission: case.attempt.submission,
        kind: &case.record.kind,
        number: case.record.number.as_ref()?,
        office: case.record.office.as_deref(),
        accepted_at: case.attempt.accepted_at,
        expires_at: settings.expires_at(case),
        source: &settings.source,
    };
    Some(ask(&facts, view))
}
