//! Reads an event document leniently: a member of an unexpected type counts as absent.
//!
//! Invariant: what is built from a document stays within its [`Budget`].

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::{ActionId, Budget, Unbuilt};
use crate::opencrvs::raw::each_element;

/// Limit of the memory that one declaration takes, in bytes. A genuine one takes about 50 KB.
pub(super) const MOST_DECLARED: usize = 512 * 1024;

/// An event document. It is the whole body of the request, without an envelope.
pub(super) struct EventDocument<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) kind: Option<Cow<'a, str>>,
    pub(super) tracking_id: Option<Cow<'a, str>>,
    pub(super) actions: Vec<Action<'a>>,
}

/// One action of the event. Annotations, signatures and all other members are skipped without being
/// built in memory.
#[derive(Default)]
pub(super) struct Action<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) kind: Option<Cow<'a, str>>,
    pub(super) status: Option<Cow<'a, str>>,
    pub(super) created_at: Option<Cow<'a, str>>,
    pub(super) created_at_location: Option<Cow<'a, str>>,
    pub(super) original_action_id: Option<Cow<'a, str>>,
    pub(super) request_id: Option<Cow<'a, str>>,
    /// `None` if the action is an asynchronous rejection.
    pub(super) declaration: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tracking_id: Option<&'a RawValue>,
    #[serde(borrow)]
    actions: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawAction<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow)]
    created_at_location: Option<&'a RawValue>,
    #[serde(borrow)]
    original_action_id: Option<&'a RawValue>,
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow)]
    declaration: Option<&'a RawValue>,
}

/// The text, which is copied only if it has escapes.
fn text<'a>(raw: Option<&'a RawValue>, budget: &mut Budget) -> Result<Option<Cow<'a, str>>, Unbuilt> {
    let Some(raw) = raw.map(RawValue::get).filter(|raw| raw.starts_with('"')) else { return Ok(None) };
    if let Ok(text) = serde_json::from_str::<&str>(raw) {
        return Ok(Some(Cow::Borrowed(text)));
    }
    Ok(match budget.build_short(raw)? {
        Value::String(text) => Some(Cow::Owned(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

impl<'a> EventDocument<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Unbuilt> {
        let raw: RawDocument<'a> = serde_json::from_slice(body).map_err(|_| Unbuilt::NotJson)?;
        let mut budget = Budget::of(body.len());
        let mut actions = Vec::new();
        let mut failed = None;
        each_element(raw.actions, |action| {
            if failed.is_none() {
                match Action::read(action, &mut budget) {
                    Ok(action) => actions.push(action),
                    Err(fault) => failed = Some(fault),
                }
            }
        })
        .ok_or(Unbuilt::NotJson)?;
        if let Some(fault) = failed {
            return Err(fault);
        }
        Ok(Self {
            id: text(raw.id, &mut budget)?,
            kind: text(raw.kind, &mut budget)?,
            tracking_id: text(raw.tracking_id, &mut budget)?,
            actions,
        })
    }
}

impl<'a> Action<'a> {
    fn read(raw: &'a RawValue, budget: &mut Budget) -> Result<Self, Unbuilt> {
        // The vector may be half empty.
        budget.charge(2 * size_of::<Self>())?;
        let raw: RawAction<'a> = serde_json::from_str(raw.get()).map_err(|_| Unbuilt::NotJson)?;
        Ok(Self {
            id: text(raw.id, budget)?,
            kind: text(raw.kind, budget)?,
            status: text(raw.status, budget)?,
            created_at: text(raw.created_at, budget)?,
            created_at_location: text(raw.created_at_location, budget)?,
            original_action_id: text(raw.original_action_id, budget)?,
            request_id: text(raw.request_id, budget)?,
            declaration: raw.declaration,
        })
    }

    /// Builds the declaration.
    pub(super) fn declaration(&self) -> Result<Map<String, Value>, Unbuilt> {
        let Some(raw) = self.declaration else { return Ok(Map::new()) };
        Ok(match Budget::bytes(MOST_DECLARED).build_short(raw.get())? {
            Value::Object(members) => members,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::String(_) => {
                Map::new()
            }
        })
    }
    pub(super) fn is(&self, status: &str) -> bool {
        self.status.as_deref() == Some(status)
    }
}

impl<'a> EventDocument<'a> {
    /// The pending action: the requested action with this id or, if there is none, the only
    /// requested registration without an answer. It need not be the last in the list.
    pub(super) fn pending(&self, action: &str) -> Option<&Action<'a>> {
        let named = self.actions.iter().find(|one| one.id.as_deref() == Some(action));
        named.filter(|one| one.is("Requested")).or_else(|| {
            let mut open = self.open();
            let first = open.next()?;
            open.next().is_none().then_some(first)
        })
    }

    /// The newest of the requested registrations without an answer that pass the test, and its id.
    /// Of two that have the same time, it is the later one in the list.
    pub(super) fn last_open(&self, test: impl Fn(&ActionId) -> bool) -> Option<(&Action<'a>, ActionId)> {
        let identified = self.open().filter_map(|one| Some((one, ActionId::parse(one.id.as_deref()?).ok()?)));
        let created = |one: &Action<'_>| one.created_at.as_deref()?.parse::<Timestamp>().ok();
        identified.filter(|(_, id)| test(id)).max_by_key(|(one, _)| created(one))
    }

    /// The requested registrations without an answer, in the order of the list.
    fn open(&self) -> impl Iterator<Item = &Action<'a>> {
        let requested = self.actions.iter().filter(|one| one.is("Requested"));
        let register = requested.filter(|one| one.kind.as_deref() == Some("REGISTER"));
        register.filter(|one| !self.is_answered(one))
    }

    fn is_answered(&self, requested: &Action<'_>) -> bool {
        requested.id.is_some()
            && self.actions.iter().any(|one| {
                one.original_action_id == requested.id && (one.is("Accepted") || one.is("Rejected"))
            })
    }
}

#[cfg(test)]
mod tests;
