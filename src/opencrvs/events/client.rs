//! Answers an action of the events generation through the gateway, by tRPC with superjson
//! (1.9.0–2.1.0).
//!
//! These calls have no REST form. Their input is wrapped in `{"json": …}`.
//!
//! Source: `events` of opencrvs-core, v1.9.0–v2.1.0, and recorded calls of its official client.
//!
//! Invariant: accepting and rejecting are idempotent per action, so a call whose result is unknown
//! may be repeated. The transaction id is derived from the action, so a repeated call does not
//! write twice, and no call has the transaction id of another record's write.

mod bearer;
mod state;

use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::InvalidDocument;
use super::trpc::result_of;
use crate::domain::{ActionId, Identity, RecordId, RegistrationNumber, TransactionId, WrittenFields};
use crate::opencrvs::call::{ClientSettings, HttpClient, send};
use crate::opencrvs::client::{AccessToken, Right};
use crate::opencrvs::fault::OpencrvsFault;
use crate::opencrvs::reading::Reading;

pub use bearer::{Bearer, PendingAction};
pub use state::{ActionState, EventState, FoundAction};
use state::{action_state, answers, assigned_to};

/// What is written when a registration is accepted.
#[derive(Debug, Clone)]
pub struct Acceptance {
    pub number: RegistrationNumber,
    /// Fields of the declaration. The country's configuration must define each of them.
    pub fields: WrittenFields,
}

/// HTTP client of the events service. It answers the registration actions.
#[derive(Debug, Clone)]
pub struct EventsClient {
    client: HttpClient,
}

/// Input of `register.accept` and `register.reject`, with its members in the order of the official
/// client.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    transaction_id: &'a str,
    event_id: &'a str,
    action_id: &'a str,
    // `null` is a type error in superjson, so an absent member is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    declaration: Option<&'a WrittenFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_assignment: Option<bool>,
}

/// Input of `reject.request`: the registrar's own rejection of the record, with its reason.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation<'a> {
    transaction_id: &'a str,
    event_id: &'a str,
    declaration: Empty,
    annotation: Empty,
    content: Content<'a>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Content<'a> {
    reason: &'a str,
}

#[derive(Serialize)]
struct Envelope<T> {
    json: T,
}

impl<'a> Input<'a> {
    fn of(transaction: &'a str, record: &'a RecordId, action: &'a ActionId) -> Self {
        Self {
            transaction_id: transaction,
            event_id: record.as_str(),
            action_id: action.as_str(),
            registration_number: None,
            declaration: None,
            keep_assignment: None,
        }
    }

    fn accepting(self, acceptance: &'a Acceptance) -> Self {
        let fields = &acceptance.fields;
        let declaration = (!fields.is_empty()).then_some(fields);
        Self { registration_number: Some(acceptance.number.as_str()), declaration, ..self }
    }
}

impl EventsClient {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(gateway: &ClientSettings) -> Result<Self, reqwest::Error> {
        Ok(Self { client: HttpClient::new(gateway)? })
    }

    /// Registers the record. Accepting an action that is accepted already succeeds and changes
    /// nothing (2.1 may also refuse it with [`OpencrvsFault::NotPending`]); the returned state then
    /// holds the number under which the record is registered.
    ///
    /// # Errors
    /// [`OpencrvsFault`].
    pub async fn accept(
        &self,
        bearer: Bearer<'_>,
        pending: &PendingAction<'_>,
        acceptance: &Acceptance,
    ) -> Result<ActionState, OpencrvsFault> {
        let transaction = TransactionId::of(pending.action).to_string();
        let input = Input::of(&transaction, pending.record, pending.action).accepting(acceptance);
        let accepted = self.mutate("event.actions.register.accept", bearer, input).await;
        let event = accepted.map_err(|fault| bearer.interpret(fault, Right::Accept, pending.kind))?;
        let answers = answers(&event)?;
        Ok(action_state(&answers, pending.action).unwrap_or(ActionState::Accepted(None)))
    }

    /// Rejects the registration. The call takes no reason. [`EventsClient::explain`] can send it
    /// afterwards, but only if the registrar stays assigned (`keep_assignment`).
    ///
    /// # Errors
    /// [`OpencrvsFault`]. For an action that is accepted already, it is `Status(500)` in 1.9 and
    /// 2.0, as in an outage.
    pub async fn reject(
        &self,
        bearer: Bearer<'_>,
        pending: &PendingAction<'_>,
        keep_assignment: bool,
    ) -> Result<(), OpencrvsFault> {
        let transaction = TransactionId::of(pending.action).to_string();
        let input = Input {
            keep_assignment: keep_assignment.then_some(true),
            ..Input::of(&transaction, pending.record, pending.action)
        };
        let rejected = self.mutate("event.actions.register.reject", bearer, input).await;
        rejected.map(|_| ()).map_err(|fault| bearer.interpret(fault, Right::Reject, pending.kind))
    }

    /// Sends the record back for updates with a reason, after its registration was rejected. Works
    /// only if the token carries the registrar's own right to reject (1.9.13 and newer) and the
    /// registrar is still assigned. Whether 2.1 permits it to a client is not known.
    ///
    /// # Errors
    /// [`OpencrvsFault`]; the rejection of the registration stands.
    pub async fn explain(
        &self,
        bearer: Bearer<'_>,
        pending: &PendingAction<'_>,
        reason: &str,
    ) -> Result<(), OpencrvsFault> {
        let transaction = TransactionId::of(pending.action).to_string();
        let explanation = Explanation {
            transaction_id: &transaction,
            event_id: pending.record.as_str(),
            declaration: Empty {},
            annotation: Empty {},
            content: Content { reason },
        };
        let explained = self.mutate("event.actions.reject.request", bearer, explanation).await;
        explained.map(|_| ()).map_err(|fault| bearer.interpret(fault, Right::Reject, pending.kind))
    }

    /// Reads the event: the state of the action, and to whom the event is assigned. Works only if
    /// the token may read the record (1.9.13 and newer, and only if the registrar may read it), or
    /// if the client has the scope `record.read`. Core notes in the record that it was read.
    ///
    /// # Errors
    /// [`OpencrvsFault`].
    pub async fn read(
        &self,
        bearer: Bearer<'_>,
        pending: &PendingAction<'_>,
    ) -> Result<EventState, OpencrvsFault> {
        let event = answers(&self.get(bearer, pending).await?)?;
        Ok(EventState {
            action: action_state(&event, pending.action).unwrap_or(ActionState::Open),
            assigned_to: assigned_to(&event),
        })
    }

    /// Reads the event with its declaration: whether the action waits for its answer, and the
    /// person that the event is about. Needs the same rights as [`EventsClient::read`].
    ///
    /// # Errors
    /// [`OpencrvsFault`].
    pub async fn find(
        &self,
        bearer: Bearer<'_>,
        pending: &PendingAction<'_>,
        reading: &Reading,
    ) -> Result<FoundAction, OpencrvsFault> {
        let event = self.get(bearer, pending).await?;
        if let Some(state) = action_state(&answers(&event)?, pending.action) {
            return Ok(FoundAction::Answered(state));
        }
        Ok(match super::read_bound(event.get().as_bytes(), pending.action, reading) {
            Ok(document) if document.record == *pending.record => {
                let person = Identity::of(&document.kind, &document.view);
                FoundAction::Waits { tracking_id: document.tracking_id, person }
            }
            Ok(_) | Err(InvalidDocument::NoPendingAction) => FoundAction::Absent,
            Err(_) => return Err(OpencrvsFault::Unreadable),
        })
    }

    async fn get(
        &self,
        bearer: Bearer<'_>,
        pending: &PendingAction<'_>,
    ) -> Result<Box<RawValue>, OpencrvsFault> {
        let input = serde_json::json!({ "eventId": pending.record.as_str() });
        let read = match self.event(bearer, &input).await {
            // The input is the bare id in 1.9, and an object in 2.0.
            Err(OpencrvsFault::Contract) => self.event(bearer, &Value::from(pending.record.as_str())).await,
            result => result,
        };
        read.map_err(|fault| bearer.interpret(fault, Right::Read, pending.kind))
    }

    /// Probes whether this release lets the client accept an action. The call accepts an action of
    /// an event that does not exist, which changes nothing. OpenCRVS checks the right before it
    /// looks for the event.
    ///
    /// # Errors
    /// [`OpencrvsFault`] if the response does not answer the question.
    pub async fn may_accept(&self, token: &AccessToken) -> Result<bool, OpencrvsFault> {
        let [event, action, transaction] = std::array::from_fn(|_| Uuid::new_v4().to_string());
        let input = Input {
            transaction_id: &transaction,
            event_id: &event,
            action_id: &action,
            registration_number: Some("PROBE"),
            declaration: None,
            keep_assignment: None,
        };
        match self.mutate("event.actions.register.accept", Bearer::Client(token), input).await {
            Err(OpencrvsFault::EventNotFound | OpencrvsFault::ActionNotFound) => Ok(true),
            Err(OpencrvsFault::RecordRefused) => Ok(false),
            Err(OpencrvsFault::Unauthorized) => Err(OpencrvsFault::ClientRefused),
            Err(fault) => Err(fault),
            Ok(_) => Err(OpencrvsFault::Unreadable),
        }
    }

    async fn mutate<T: Serialize>(
        &self,
        procedure: &str,
        bearer: Bearer<'_>,
        input: T,
    ) -> Result<Box<RawValue>, OpencrvsFault> {
        let request = self.client.post(&format!("events/{procedure}")).json(&Envelope { json: input });
        call(bearer, request).await
    }

    async fn event(&self, bearer: Bearer<'_>, input: &Value) -> Result<Box<RawValue>, OpencrvsFault> {
        let input = serde_json::json!({ "json": input }).to_string();
        call(bearer, self.client.get("events/event.get").query(&[("input", input.as_str())])).await
    }
}

async fn call(bearer: Bearer<'_>, request: reqwest::RequestBuilder) -> Result<Box<RawValue>, OpencrvsFault> {
    let request = request.bearer_auth(bearer.secret().expose_secret());
    result_of(&send(request).await?.complete().await?).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests;
