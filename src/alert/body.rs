//! The JSON body of a call to the webhook.
//!
//! Invariant: the body contains identifiers, times and fixed sentences, but no name, no issued ID
//! and no token.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{Cause, escaped_json};
use crate::ledger::{About, Alert};

#[derive(Serialize)]
struct Body<'a> {
    v: u8,
    id: &'a str,
    cause: &'static str,
    #[serde(flatten)]
    about: Subject<'a>,
    /// The state of the attempt. Absent if the alert concerns a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    at: String,
    means: &'static str,
    what_to_do: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Subject<'a> {
    Record {
        record_id: &'a str,
        tracking_id: &'a str,
        attempt_id: Option<String>,
        token_expires_at: Option<String>,
        token_hours_left: Option<f64>,
    },
    Parking {
        queue: &'a str,
        message_id: Option<&'a str>,
        messages: u64,
    },
    Many {
        records: u64,
    },
    Process {
        role: &'a str,
    },
    Client {
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<&'a str>,
    },
}

/// Makes the body of a call at the time `now`.
pub(super) fn of(alert: &Alert, now: Timestamp) -> Vec<u8> {
    let hours = |until: Timestamp| {
        let hours = until.duration_since(now).as_secs_f64() / 3_600.0;
        (hours.max(0.0) * 10.0).floor() / 10.0
    };
    let about = match &alert.about {
        About::Record { record, tracking_id, attempt, token_expires_at } => Subject::Record {
            record_id: record.as_str(),
            tracking_id: tracking_id.as_str(),
            attempt_id: attempt.map(|id| id.to_string()),
            token_expires_at: token_expires_at.map(|at| at.to_string()),
            token_hours_left: token_expires_at.map(hours),
        },
        About::Parking { queue, message, messages } => {
            Subject::Parking { queue, message_id: message.as_deref(), messages: *messages }
        }
        About::Many { records } => Subject::Many { records: *records },
        About::Client { scope } => Subject::Client { scope: scope.as_deref() },
    };
    let (state, detail) = (Some(alert.state.as_str()), alert.detail.as_deref());
    Body::new(&alert.id, alert.cause, about, state, detail, alert.at).encode()
}

/// Makes the body of a call for the trouble of a process that runs as `role`.
pub(super) fn of_process(id: &str, cause: Cause, role: &str, detail: Option<&str>, at: Timestamp) -> Vec<u8> {
    Body::new(id, cause, Subject::Process { role }, None, detail, at).encode()
}

impl<'a> Body<'a> {
    fn new(
        id: &'a str,
        cause: Cause,
        about: Subject<'a>,
        state: Option<&'static str>,
        detail: Option<&'a str>,
        at: Timestamp,
    ) -> Self {
        let advice = cause.advice();
        Self {
            v: 1,
            id,
            cause: cause.as_str(),
            about,
            state,
            detail,
            at: at.to_string(),
            means: advice.means,
            what_to_do: advice.action,
        }
    }

    fn encode(&self) -> Vec<u8> {
        // The body has only texts and numbers, so this cannot fail.
        let text = serde_json::to_string(self).unwrap_or_default();
        escaped_json(&text).into_owned().into_bytes()
    }
}
