//! Reads an event document leniently: a member of an unexpected type counts as absent.

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::domain::ActionId;

/// An event document. It is the whole body of the request, without an envelope.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventDocument {
    #[serde(default, deserialize_with = "text")]
    pub(super) id: Option<String>,
    #[serde(default, rename = "type", deserialize_with = "text")]
    pub(super) kind: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) tracking_id: Option<String>,
    pub(super) actions: Vec<Action>,
}

/// One action of the event. Annotations, signatures and all other members are skipped without being
/// built in memory.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Action {
    #[serde(deserialize_with = "text")]
    pub(super) id: Option<String>,
    #[serde(rename = "type", deserialize_with = "text")]
    pub(super) kind: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) created_at: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) created_at_location: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) original_action_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) request_id: Option<String>,
    /// Empty if the action is an asynchronous rejection.
    #[serde(deserialize_with = "object")]
    pub(super) declaration: Map<String, Value>,
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::String(_) => Map::new(),
    })
}

impl Action {
    pub(super) fn is(&self, status: &str) -> bool {
        self.status.as_deref() == Some(status)
    }
}

impl EventDocument {
    /// The pending action: the requested action with this id or, if there is none, the only
    /// requested registration without an answer. It need not be the last in the list.
    pub(super) fn pending(&self, action: &str) -> Option<&Action> {
        let named = self.actions.iter().find(|one| one.id.as_deref() == Some(action));
        named.filter(|one| one.is("Requested")).or_else(|| {
            let mut open = self.open();
            let first = open.next()?;
            open.next().is_none().then_some(first)
        })
    }

    /// The newest of the requested registrations without an answer that pass the test, and its id.
    /// Of two that have the same time, it is the later one in the list.
    pub(super) fn last_open(&self, test: impl Fn(&ActionId) -> bool) -> Option<(&Action, ActionId)> {
        let identified = self.open().filter_map(|one| Some((one, ActionId::parse(one.id.as_deref()?).ok()?)));
        let created = |one: &Action| one.created_at.as_deref()?.parse::<Timestamp>().ok();
        identified.filter(|(_, id)| test(id)).max_by_key(|(one, _)| created(one))
    }

    /// The requested registrations without an answer, in the order of the list.
    fn open(&self) -> impl Iterator<Item = &Action> {
        let requested = self.actions.iter().filter(|one| one.is("Requested"));
        let register = requested.filter(|one| one.kind.as_deref() == Some("REGISTER"));
        register.filter(|one| !self.is_answered(one))
    }

    fn is_answered(&self, requested: &Action) -> bool {
        requested.id.is_some()
            && self.actions.iter().any(|one| {
                one.original_action_id == requested.id && (one.is("Accepted") || one.is("Rejected"))
            })
    }
}

#[cfg(test)]
mod tests;
