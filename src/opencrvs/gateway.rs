//! The gateway's GraphQL (1.7.0–1.9.15): reading where a record stands, and confirming it.
//!
//! Errors come with HTTP 200. A mutation is not atomic behind the gateway: a downstream failure after the record was
//! saved is an error for a registration that took place, so such an error is *ambiguous* and the record is read next.
//!
//! Invariant: a fault says whether a write may have happened; the gateway's own texts, which may quote anything, are
//! never part of one.

mod fault;
mod waiting;

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

pub use fault::{FaultClass, GatewayFault};
pub use waiting::{UserToken, UserTokenFault, Waiting, WaitingList};

use super::{ClientSettings, Unwhole, client, whole};
use crate::domain::{NationalId, RecordId, RecordState, RegistrationNumber};

const READ: &str = "query ($id: ID!) { fetchRegistration(id: $id) { id registration { trackingId registrationNumber \
     status { type timestamp } } } }";
const CONFIRM: &str = "mutation confirmRegistration($id: ID!, $details: ConfirmRegistrationInput!) \
     { confirmRegistration(id: $id, details: $details) }";

/// Where a record stands in OpenCRVS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its status.
    pub status: RecordState,
    /// Since when.
    pub since: jiff::Timestamp,
    /// The number under which it is registered, if it is.
    pub number: Option<String>,
}

/// What OpenCRVS is told.
#[derive(Debug, Clone)]
pub struct Confirmation {
    /// The registration number.
    pub number: RegistrationNumber,
    /// Identifiers by type; applied to births only (1.7–1.9).
    pub identifiers: Vec<(String, NationalId)>,
    /// A comment for the record's history.
    pub comment: Option<String>,
}

/// A client of the gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    http: reqwest::Client,
    url: Url,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Option<Value>,
    #[serde(default)]
    errors: Option<Vec<Value>>,
}

impl Gateway {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(settings: &ClientSettings) -> Result<Self, reqwest::Error> {
        let mut url = settings.url.clone();
        url.set_path(&format!("{}/graphql", settings.url.path().trim_end_matches('/')));
        Ok(Self { http: client(settings)?, url })
    }

    /// Reads where a record stands. Writes nothing in OpenCRVS.
    ///
    /// # Errors
    /// [`GatewayFault`].
    pub async fn read(&self, token: &SecretString, record: &RecordId) -> Result<Seen, GatewayFault> {
        let data = self.call(token, READ, json!({ "id": record.as_str() })).await?;
        seen(&data).ok_or(GatewayFault::Unreadable)
    }

    /// Registers a record. Not idempotent: the caller has read the record and holds its lease and a write intent.
    ///
    /// # Errors
    /// [`GatewayFault`], whose class says whether it may have taken place.
    pub async fn confirm(
        &self,
        token: &SecretString,
        record: &RecordId,
        confirmation: &Confirmation,
    ) -> Result<(), GatewayFault> {
        let identifiers: Vec<Value> = confirmation
            .identifiers
            .iter()
            .map(|(kind, id)| json!({ "type": kind, "value": id.expose() }))
            .collect();
        let mut details = json!({ "registrationNumber": confirmation.number.as_str() });
        if let Some(details) = details.as_object_mut() {
            if !identifiers.is_empty() {
                details.insert("identifiers".into(), identifiers.into());
            }
            if let Some(comment) = &confirmation.comment {
                details.insert("comment".into(), comment.as_str().into());
            }
        }
        let variables = json!({ "id": record.as_str(), "details": details });
        let data = self.call(token, CONFIRM, variables).await?;
        match data.get("confirmRegistration").and_then(Value::as_str) {
            Some(_task) => Ok(()),
            None => Err(GatewayFault::Unreadable),
        }
    }

    /// Whether anything answers there that is not in trouble itself; asks for nothing.
    pub async fn answers(&self) -> bool {
        let answer = self.http.get(self.url.clone()).send().await;
        answer.is_ok_and(|answer| !answer.status().is_server_error())
    }

    async fn call(&self, token: &SecretString, query: &str, variables: Value) -> Result<Value, GatewayFault> {
        let request = self
            .http
            .post(self.url.clone())
            .bearer_auth(token.expose_secret())
            .json(&json!({ "query": query, "variables": variables }));
        let answer = request.send().await.map_err(|error| GatewayFault::of_transport(&error))?;
        let status = answer.status();
        let retry_after = retry_after(&answer);
        let body = whole(answer).await.map_err(|why| match why {
            Unwhole::BrokenOff => GatewayFault::BrokenOff,
            Unwhole::TooLong => GatewayFault::Unreadable,
        })?;
        answered(status, retry_after, &body)
    }
}

/// What a complete answer says.
pub(super) fn answered(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Result<Value, GatewayFault> {
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(GatewayFault::of_status(status.as_u16(), retry_after));
    }
    let Ok(parsed) = serde_json::from_slice::<Answer>(body) else {
        return Err(match status {
            status if status.is_success() => GatewayFault::Unreadable,
            // A proxy whose backend is not there yet; the gateway's own answers are JSON.
            StatusCode::NOT_FOUND => GatewayFault::Unreachable,
            status => GatewayFault::of_status(status.as_u16(), retry_after),
        });
    };
    match (parsed.errors.as_deref(), parsed.data) {
        (Some([first, ..]), _) => Err(GatewayFault::of_error(first)),
        (_, Some(data)) if status.is_success() => Ok(data),
        _ => Err(GatewayFault::of_status(status.as_u16(), retry_after)),
    }
}

pub(super) fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let text = answer.headers().get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// `status` is newest first; its first entry's time is `Task.lastModified`.
pub(super) fn seen(data: &Value) -> Option<Seen> {
    let registration = data.pointer("/fetchRegistration/registration")?;
    let newest = registration.pointer("/status/0")?;
    let since = newest.get("timestamp")?;
    Some(Seen {
        status: record_state(newest.get("type")?.as_str()?),
        since: timestamp(since)?,
        number: registration.get("registrationNumber").and_then(Value::as_str).map(str::to_owned),
    })
}

/// ISO text, or milliseconds since 1970 as a text or a number.
fn timestamp(value: &Value) -> Option<jiff::Timestamp> {
    let of_ms = |ms: i64| jiff::Timestamp::from_millisecond(ms).ok();
    match value.as_str() {
        Some(text) => text.parse().ok().or_else(|| of_ms(text.parse().ok()?)),
        None => of_ms(value.as_i64()?),
    }
}

fn record_state(status: &str) -> RecordState {
    match status {
        "WAITING_VALIDATION" => RecordState::Waiting,
        "REGISTERED" | "CERTIFIED" | "ISSUED" | "CORRECTION_REQUESTED" => RecordState::Registered,
        "IN_PROGRESS" | "DECLARED" | "VALIDATED" | "DRAFT" | "DECLARATION_UPDATED" => {
            RecordState::BeforeValidation
        }
        _ => RecordState::MovedOn,
    }
}
