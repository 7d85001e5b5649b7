//! GraphQL client of the gateway (1.7.0–1.9.15): reads the state of a record, and confirms it.
//!
//! A mutation is not atomic: a service behind the gateway may fail after the record was saved, so a
//! registration may have taken place although the call returned an error. Such an error is
//! *ambiguous*, and the record is read again before anything else is written.
//!
//! Source: `gateway` (schema), `workflow` and `search` of opencrvs-core, v1.7.0–v1.9.15.
//!
//! Invariant: an error in an HTTP 200 is a fault, and a fault says whether something may have been
//! written.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::graphql::data_of;
use crate::domain::{NationalId, RecordId, RecordState, RegistrationNumber};
use crate::opencrvs::call::{ClientSettings, HttpClient, send};
use crate::opencrvs::fault::OpencrvsFault;

const READ: &str = "query ($id: ID!) { fetchRegistration(id: $id) { id registration { trackingId registrationNumber \
     status { type timestamp } } } }";
const CONFIRM: &str = "mutation confirmRegistration($id: ID!, $details: ConfirmRegistrationInput!) \
     { confirmRegistration(id: $id, details: $details) }";

/// State of a record in OpenCRVS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedRecord {
    pub status: RecordState,
    /// When the record got this status.
    pub since: jiff::Timestamp,
    /// The registration number, if the record is registered.
    pub number: Option<String>,
}

/// What `confirmRegistration` writes.
#[derive(Debug, Clone)]
pub struct Confirmation {
    pub number: RegistrationNumber,
    /// Pairs of identifier type and issued ID. OpenCRVS drops them unless the record is a birth.
    pub identifiers: Vec<(String, NationalId)>,
    /// OpenCRVS shows the comment in the record's history.
    pub comment: Option<String>,
}

impl Confirmation {
    fn details(&self) -> Value {
        let identifiers: Vec<Value> =
            self.identifiers.iter().map(|(kind, id)| json!({ "type": kind, "value": id.expose() })).collect();
        let mut details = json!({ "registrationNumber": self.number.as_str() });
        if let Some(details) = details.as_object_mut() {
            if !identifiers.is_empty() {
                details.insert("identifiers".into(), identifiers.into());
            }
            if let Some(comment) = &self.comment {
                details.insert("comment".into(), comment.as_str().into());
            }
        }
        details
    }
}

/// GraphQL client of the gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    client: HttpClient,
}

impl Gateway {
    const PATH: &str = "graphql";

    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(settings: &ClientSettings) -> Result<Self, reqwest::Error> {
        Ok(Self { client: HttpClient::new(settings)? })
    }

    /// Reads the state of a record. Writes nothing in OpenCRVS.
    ///
    /// # Errors
    /// [`OpencrvsFault`].
    pub async fn read(
        &self,
        token: &SecretString,
        record: &RecordId,
    ) -> Result<FetchedRecord, OpencrvsFault> {
        let data = self.call(token, READ, json!({ "id": record.as_str() })).await?;
        fetched_record(&data).ok_or(OpencrvsFault::Unreadable)
    }

    /// Registers a record. The call is not idempotent, so the caller must have read the record,
    /// hold its lease and have committed the intent.
    ///
    /// # Errors
    /// [`OpencrvsFault`], whose class says whether the registration may have taken place.
    pub async fn confirm(
        &self,
        token: &SecretString,
        record: &RecordId,
        confirmation: &Confirmation,
    ) -> Result<(), OpencrvsFault> {
        let variables = json!({ "id": record.as_str(), "details": confirmation.details() });
        let data = self.call(token, CONFIRM, variables).await?;
        match data.get("confirmRegistration").and_then(Value::as_str) {
            Some(_task_id) => Ok(()),
            None => Err(OpencrvsFault::Unreadable),
        }
    }

    /// Probes whether the gateway answers without a server error. Sends no query.
    pub async fn answers(&self) -> bool {
        let response = send(self.client.get(Self::PATH)).await;
        response.is_ok_and(|response| !response.status().is_server_error())
    }

    pub(super) async fn call(
        &self,
        token: &SecretString,
        query: &str,
        variables: Value,
    ) -> Result<Value, OpencrvsFault> {
        let request = self.client.post(Self::PATH).bearer_auth(token.expose_secret());
        let request = request.json(&json!({ "query": query, "variables": variables }));
        data_of(&send(request).await?.complete().await?)
    }
}

/// The list `status` has its newest entry first, and the time of that entry is `Task.lastModified`.
pub(in crate::opencrvs) fn fetched_record(data: &Value) -> Option<FetchedRecord> {
    let registration = data.pointer("/fetchRegistration/registration")?;
    let newest = registration.pointer("/status/0")?;
    Some(FetchedRecord {
        status: record_state(newest.get("type")?.as_str()?),
        since: timestamp(newest.get("timestamp")?)?,
        number: registration.get("registrationNumber").and_then(Value::as_str).map(str::to_owned),
    })
}

/// Reads a time: ISO 8601, or milliseconds since 1970 as a string or a number.
pub(super) fn timestamp(value: &Value) -> Option<jiff::Timestamp> {
    let from_ms = |ms: i64| jiff::Timestamp::from_millisecond(ms).ok();
    match value.as_str() {
        Some(text) => text.parse().ok().or_else(|| from_ms(text.parse().ok()?)),
        None => from_ms(value.as_i64()?),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opencrvs::bare_server::{Server, server};

    fn token() -> SecretString {
        SecretString::from("the.token")
    }

    fn record() -> RecordId {
        RecordId::parse("5b1f6d2a-0000-4000-8000-000000000001").unwrap()
    }

    fn gateway(server: &Server) -> Gateway {
        Gateway::new(&server.settings()).unwrap()
    }

    fn data(data: &Value) -> (u16, String) {
        (200, json!({ "data": data }).to_string())
    }

    /// The variables of a request, whose head is that of a GraphQL call with the token.
    fn variables(request: &str) -> Value {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /base/graphql HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("authorization: Bearer the.token"), "{head}");
        serde_json::from_str::<Value>(body).unwrap()["variables"].take()
    }

    #[test]
    fn a_status_that_no_release_has_counts_as_moved_on() {
        for (status, state) in [
            ("WAITING_VALIDATION", RecordState::Waiting),
            ("REGISTERED", RecordState::Registered),
            ("CORRECTION_REQUESTED", RecordState::Registered),
            ("DECLARED", RecordState::BeforeValidation),
            ("REJECTED", RecordState::MovedOn),
            ("ARCHIVED", RecordState::MovedOn),
            ("NEW", RecordState::MovedOn),
        ] {
            assert_eq!(record_state(status), state, "{status}");
        }
    }

    #[tokio::test]
    async fn a_confirmation_sends_what_it_has_and_needs_the_id_of_the_task_in_the_response() {
        let server = server(&[
            data(&json!({ "confirmRegistration": "task" })),
            data(&json!({ "confirmRegistration": "task" })),
            data(&json!({ "confirmRegistration": null })),
        ])
        .await;
        let gateway = gateway(&server);
        let bare = Confirmation {
            number: RegistrationNumber::parse("2026B1").unwrap(),
            identifiers: Vec::new(),
            comment: None,
        };
        let id = ("NATIONAL_ID".to_owned(), NationalId::parse("1234567890").unwrap());
        let full = Confirmation { identifiers: vec![id], comment: Some("why".to_owned()), ..bare.clone() };
        assert_eq!(gateway.confirm(&token(), &record(), &full).await, Ok(()));
        assert_eq!(gateway.confirm(&token(), &record(), &bare).await, Ok(()));
        assert_eq!(gateway.confirm(&token(), &record(), &bare).await, Err(OpencrvsFault::Unreadable));
        let requests = server.requests();
        let details = json!({ "registrationNumber": "2026B1", "comment": "why",
            "identifiers": [{ "type": "NATIONAL_ID", "value": "1234567890" }] });
        assert_eq!(variables(&requests[0]), json!({ "id": record().as_str(), "details": details }));
        let details = json!({ "registrationNumber": "2026B1" });
        assert_eq!(variables(&requests[1]), json!({ "id": record().as_str(), "details": details }));
    }

    #[tokio::test]
    async fn a_record_is_read_with_its_token() {
        let status = json!([{ "type": "WAITING_VALIDATION", "timestamp": "2026-03-01T10:00:00.000Z" }]);
        let found = json!({ "fetchRegistration": { "registration": { "status": status } } });
        let server = server(&[data(&found), data(&json!({ "fetchRegistration": null }))]).await;
        let gateway = gateway(&server);
        let read = gateway.read(&token(), &record()).await.unwrap();
        assert_eq!(
            (read.status, read.since.to_string()),
            (RecordState::Waiting, "2026-03-01T10:00:00Z".into())
        );
        assert_eq!(gateway.read(&token(), &record()).await, Err(OpencrvsFault::Unreadable));
        assert_eq!(variables(&server.requests()[0]), json!({ "id": record().as_str() }));
    }

    #[tokio::test]
    async fn only_a_server_error_or_no_response_says_that_the_gateway_is_away() {
        for (status, answers) in [(200, true), (400, true), (404, true), (500, false), (503, false)] {
            let server = server(&[(status, String::new())]).await;
            assert_eq!(gateway(&server).answers().await, answers, "{status}");
        }
        let nobody =
            ClientSettings { url: "http://127.0.0.1:9".parse().unwrap(), ..server(&[]).await.settings() };
        assert!(!Gateway::new(&nobody).unwrap().answers().await);
    }
}
