//! The way back: tRPC with superjson, behind the gateway (1.9.0–2.0.0).
//!
//! There is no other form of these calls. Inputs are in a `{"json": …}` envelope; an answer is
//! `{"result":{"data":{"json":…}}}` or `{"error":{"json":…}}`, in a list where the call was batched, which ours are not.
//!
//! Invariant: accepting and rejecting are idempotent per action, so either may be repeated when nobody knows how it
//! ended; the transaction id is the action's, so a repeat can neither write twice nor displace another record's write.

use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::fault::ActionFault;
use crate::domain::{ActionId, NationalId, RecordId, RegistrationNumber, TransactionId};
use crate::opencrvs::{ClientSettings, Unwhole, client, whole};

/// What is accepted.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The registration number.
    pub number: RegistrationNumber,
    /// The field of the declaration that gets the issued ID; the country's configuration must define it.
    pub identifier: Option<(String, NationalId)>,
}

/// Where an action stands in OpenCRVS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionState {
    /// It waits for its answer.
    Open,
    /// It is accepted, under this number if the document says which.
    Accepted(Option<String>),
    /// It is rejected.
    Rejected,
}

/// A client of the actions of a registration.
#[derive(Debug, Clone)]
pub struct Actions {
    http: reqwest::Client,
    base: Url,
}

/// The members are in the order of the official client.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    transaction_id: &'a str,
    event_id: &'a str,
    action_id: &'a str,
    // A null is a type error there: what is absent is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    declaration: Option<serde_json::Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_assignment: Option<bool>,
}

/// The rejection of a record by its registrar, which says why.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation<'a> {
    transaction_id: &'a str,
    event_id: &'a str,
    declaration: Nothing,
    annotation: Nothing,
    content: Content<'a>,
}

#[derive(Serialize)]
struct Nothing {}

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
        let declaration = acceptance.identifier.as_ref().map(|(field, id)| {
            let value = Value::String(id.expose().to_owned());
            serde_json::Map::from_iter([(field.clone(), value)])
        });
        Self { registration_number: Some(acceptance.number.as_str()), declaration, ..self }
    }
}

impl Actions {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(gateway: &ClientSettings) -> Result<Self, reqwest::Error> {
        let mut base = gateway.url.clone();
        base.set_path(&format!("{}/events/", gateway.url.path().trim_end_matches('/')));
        Ok(Self { http: client(gateway)?, base })
    }

    /// Registers the record. Accepting what is accepted already succeeds and changes nothing, so what comes back says
    /// under which number it is registered.
    ///
    /// # Errors
    /// [`ActionFault`].
    pub async fn accept(
        &self,
        token: &SecretString,
        record: &RecordId,
        action: &ActionId,
        acceptance: &Acceptance,
    ) -> Result<ActionState, ActionFault> {
        let transaction = TransactionId::of(action).to_string();
        let input = Input::of(&transaction, record, action).accepting(acceptance);
        let event = self.mutate("event.actions.register.accept", token, input).await?;
        Ok(standing(&event, action).unwrap_or(ActionState::Accepted(None)))
    }

    /// Rejects the registration. No reason can be sent with it; to [`Actions::explain`] it, the registrar has to stay
    /// assigned.
    ///
    /// # Errors
    /// [`ActionFault`]; an action that is accepted already is a [`ActionFault::Status`] like any other trouble.
    pub async fn reject(
        &self,
        token: &SecretString,
        record: &RecordId,
        action: &ActionId,
        keep_assignment: bool,
    ) -> Result<(), ActionFault> {
        let transaction = TransactionId::of(action).to_string();
        let input = Input {
            keep_assignment: keep_assignment.then_some(true),
            ..Input::of(&transaction, record, action)
        };
        self.mutate("event.actions.register.reject", token, input).await?;
        Ok(())
    }

    /// Sends the record back for updates with a reason, after its registration was rejected. Works where the token
    /// carries the registrar's own right to reject (1.9.13 and newer) and the registrar is still assigned.
    ///
    /// # Errors
    /// [`ActionFault`]; the rejection of the registration stands.
    pub async fn explain(
        &self,
        token: &SecretString,
        record: &RecordId,
        action: &ActionId,
        reason: &str,
    ) -> Result<(), ActionFault> {
        let transaction = TransactionId::of(action).to_string();
        let explanation = Explanation {
            transaction_id: &transaction,
            event_id: record.as_str(),
            declaration: Nothing {},
            annotation: Nothing {},
            content: Content { reason },
        };
        self.mutate("event.actions.reject.request", token, explanation).await?;
        Ok(())
    }

    /// Reads where the action stands, if the token may (1.9.13 and newer, and only if the registrar may). Core notes
    /// that the record was read.
    ///
    /// # Errors
    /// [`ActionFault`].
    pub async fn standing(
        &self,
        token: &SecretString,
        record: &RecordId,
        action: &ActionId,
    ) -> Result<ActionState, ActionFault> {
        let of_2 = serde_json::json!({ "eventId": record.as_str() });
        let event = match self.get(token, &of_2).await {
            // 1.9 takes the bare id.
            Err(ActionFault::Contract) => self.get(token, &Value::from(record.as_str())).await?,
            other => other?,
        };
        Ok(standing(&event, action).unwrap_or(ActionState::Open))
    }

    async fn mutate<T: Serialize>(
        &self,
        name: &str,
        token: &SecretString,
        input: T,
    ) -> Result<Value, ActionFault> {
        let request = self.http.post(self.url(name)?).json(&Envelope { json: input });
        self.call(token, request).await
    }

    async fn get(&self, token: &SecretString, input: &Value) -> Result<Value, ActionFault> {
        let input = serde_json::json!({ "json": input }).to_string();
        let request = self.http.get(self.url("event.get")?).query(&[("input", input.as_str())]);
        self.call(token, request).await
    }

    fn url(&self, name: &str) -> Result<Url, ActionFault> {
        self.base.join(name).map_err(|_| ActionFault::Contract)
    }

    async fn call(
        &self,
        token: &SecretString,
        request: reqwest::RequestBuilder,
    ) -> Result<Value, ActionFault> {
        let answer = request.bearer_auth(token.expose_secret()).send().await;
        let answer = answer.map_err(|error| ActionFault::of_transport(&error))?;
        let status = answer.status();
        let retry_after = crate::opencrvs::gateway::retry_after(&answer);
        let body = whole(answer).await.map_err(|why| match why {
            Unwhole::BrokenOff => ActionFault::BrokenOff,
            Unwhole::TooLong => ActionFault::Unreadable,
        })?;
        read(status, retry_after, &body)
    }
}

/// An answer, as the event that it holds.
fn read(
    status: StatusCode,
    retry_after: Option<std::time::Duration>,
    body: &[u8],
) -> Result<Value, ActionFault> {
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(ActionFault::of_status(status.as_u16(), retry_after));
    }
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else {
        return Err(match status {
            status if status.is_success() => ActionFault::Unreadable,
            // A proxy whose backend is not there yet; the gateway's own answers are JSON.
            StatusCode::NOT_FOUND => ActionFault::Unreachable,
            status => ActionFault::of_status(status.as_u16(), retry_after),
        });
    };
    let answer = match answer.get_mut(0) {
        Some(first) => first,
        None => &mut answer,
    };
    if let Some(error) = answer.pointer("/error/json") {
        return Err(ActionFault::of_error(status.as_u16(), error));
    }
    if !status.is_success() {
        return Err(ActionFault::of_status(status.as_u16(), retry_after));
    }
    answer.pointer_mut("/result/data/json").map(Value::take).ok_or(ActionFault::Unreadable)
}

/// Where an action stands, if the event holds an answer to it.
fn standing(event: &Value, action: &ActionId) -> Option<ActionState> {
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let actions = event.get("actions").and_then(Value::as_array)?;
    let answers = actions
        .iter()
        .filter(|one| one.get("originalActionId").and_then(Value::as_str) == Some(action.as_str()));
    answers.into_iter().find_map(|one| match one.get("status").and_then(Value::as_str)? {
        "Accepted" => Some(ActionState::Accepted(text(one, "registrationNumber"))),
        "Rejected" => Some(ActionState::Rejected),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
