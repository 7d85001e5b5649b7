//! What the webhook is told.
//!
//! Invariant: identifiers, times and fixed sentences; no name, no issued ID, no token.

use jiff::Timestamp;
use serde::Serialize;

use crate::ledger::Alert;

#[derive(Serialize)]
struct Body<'a> {
    v: u8,
    id: &'a str,
    cause: &'static str,
    record_id: &'a str,
    tracking_id: &'a str,
    attempt_id: Option<String>,
    state: &'static str,
    at: String,
    token_expires_at: Option<String>,
    token_hours_left: Option<f64>,
    means: &'static str,
    what_to_do: &'static str,
}

/// The body of an alert that is sent at `now`.
pub(super) fn of(alert: &Alert, now: Timestamp) -> Vec<u8> {
    let hours = |until: Timestamp| {
        let hours = until.duration_since(now).as_secs_f64() / 3_600.0;
        (hours.max(0.0) * 10.0).floor() / 10.0
    };
    let advice = alert.cause.advice();
    let body = Body {
        v: 1,
        id: &alert.id,
        cause: alert.cause.as_str(),
        record_id: alert.record.as_str(),
        tracking_id: alert.tracking_id.as_str(),
        attempt_id: alert.attempt.map(|id| id.to_string()),
        state: alert.state.as_str(),
        at: alert.at.to_string(),
        token_expires_at: alert.token_expires_at.map(|at| at.to_string()),
        token_hours_left: alert.token_expires_at.map(hours),
        means: advice.means,
        what_to_do: advice.action,
    };
    // Texts and numbers alone: there is nothing that could not be written.
    serde_json::to_vec(&body).unwrap_or_default()
}
