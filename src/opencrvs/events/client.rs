//! Answers an action of the events generation through the gateway, by tRPC with superjson
//! (1.9.0–2.0.0).
//!
//! These calls have no REST form. Their input is wrapped in `{"json": …}`.
//!
//! Source: `events` of opencrvs-core, v1.9.0–v2.0.0, and recorded calls of its official client.
//!
//! Invariant: accepting and rejecting are idempotent per action, so a call whose result is unknown
//! may be repeated; the transaction id is derived from the action, so a repeated call neither
//! writes twice nor takes the place of a write to another record.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;

use super::trpc::result_of;
use crate::domain::{ActionId, RecordId, RegistrationNumber, TransactionId, WrittenFields};
use crate::opencrvs::call::{ClientSettings, HttpClient, send};
use crate::opencrvs::fault::OpencrvsFault;

/// What is written when a registration is accepted.
#[derive(Debug, Clone)]
pub struct Acceptance {
    pub number: RegistrationNumber,
    /// Fields of the declaration. The country's configuration must define each of them.
    pub fields: WrittenFields,
}

/// State of an action in OpenCRVS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionState {
    /// The action waits for its answer.
    Open,
    /// Holds the registration number, if the document contains it.
    Accepted(Option<String>),
    Rejected,
}

/// Client of the events service. It answers the registration actions.
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
    /// nothing; the returned state then holds the number under which the record is registered.
    ///
    /// # Errors
    /// [`OpencrvsFault`].
    pub async fn accept(
        &self,
        token: &SecretString,
        record: &RecordId,
        action: &ActionId,
        acceptance: &Acceptance,
    ) -> Result<ActionState, OpencrvsFault> {
        let transaction = TransactionId::of(action).to_string();
        let input = Input::of(&transaction, record, action).accepting(acceptance);
        let event = self.mutate("event.actions.register.accept", token, input).await?;
        Ok(action_state(&event, action).unwrap_or(ActionState::Accepted(None)))
    }

    /// Rejects the registration. The call takes no reason. [`EventsClient::explain`] can send it
    /// afterwards, but only if the registrar stays assigned (`keep_assignment`).
    ///
    /// # Errors
    /// [`OpencrvsFault`]. For an action that is accepted already it is `Status(500)`, as in an outage.
    pub async fn reject(
        &self,
        token: &SecretString,
        record: &RecordId,
        action: &ActionId,
        keep_assignment: bool,
    ) -> Result<(), OpencrvsFault> {
        let transaction = TransactionId::of(action).to_string();
        let input = Input {
            keep_assignment: keep_assignment.then_some(true),
            ..Input::of(&transaction, record, action)
        };
        self.mutate("event.actions.register.reject", token, input).await?;
        Ok(())
    }

    /// Sends the record back for updates with a reason, after its registration was rejected. Works
    /// only if the token carries the registrar's own right to reject (1.9.13 and newer) and the
    /// registrar is still assigned.
    ///
    /// # Errors
    /// [`OpencrvsFault`]; the rejection of the registration stands.
    pub async fn explain(
        &self,
        token: &SecretString,
        record: &RecordId,
        action: &ActionId,
        reason: &str,
    ) -> Result<(), OpencrvsFault> {
        let transaction = TransactionId::of(action).to_string();
        let explanation = Explanation {
            transaction_id: &transaction,
            event_id: record.as_str(),
            declaration: Empty {},
            annotation: Empty {},
            content: Content { reason },
        };
        self.mutate("event.actions.reject.request", token, explanation).await?;
        Ok(())
    }

    /// Reads the state of the action. Works only if the token may read the record (1.9.13 and
    /// newer, and only if the registrar may read it). Core notes in the record that it was read.
    ///
    /// # Errors
    /// [`OpencrvsFault`].
    pub async fn state(
        &self,
        token: &SecretString,
        record: &RecordId,
        action: &ActionId,
    ) -> Result<ActionState, OpencrvsFault> {
        let input = serde_json::json!({ "eventId": record.as_str() });
        let event = match self.event(token, &input).await {
            // The input is the bare id in 1.9, and an object in 2.0.
            Err(OpencrvsFault::Contract) => self.event(token, &Value::from(record.as_str())).await?,
            result => result?,
        };
        Ok(action_state(&event, action).unwrap_or(ActionState::Open))
    }

    async fn mutate<T: Serialize>(
        &self,
        procedure: &str,
        token: &SecretString,
        input: T,
    ) -> Result<Value, OpencrvsFault> {
        let request = self.client.post(&format!("events/{procedure}")).json(&Envelope { json: input });
        call(token, request).await
    }

    async fn event(&self, token: &SecretString, input: &Value) -> Result<Value, OpencrvsFault> {
        let input = serde_json::json!({ "json": input }).to_string();
        call(token, self.client.get("events/event.get").query(&[("input", input.as_str())])).await
    }
}

async fn call(token: &SecretString, request: reqwest::RequestBuilder) -> Result<Value, OpencrvsFault> {
    let request = request.bearer_auth(token.expose_secret());
    result_of(&send(request).await?.complete().await?)
}

/// The state of an action according to the event document, or `None` if the document contains no
/// answer to the action.
fn action_state(event: &Value, action: &ActionId) -> Option<ActionState> {
    let actions = event.get("actions").and_then(Value::as_array)?;
    let mut answers = actions
        .iter()
        .filter(|one| one.get("originalActionId").and_then(Value::as_str) == Some(action.as_str()));
    answers.find_map(|answer| match answer.get("status").and_then(Value::as_str)? {
        "Accepted" => {
            let number = answer.get("registrationNumber").and_then(Value::as_str);
            Some(ActionState::Accepted(number.map(str::to_owned)))
        }
        "Rejected" => Some(ActionState::Rejected),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
