//! What an event document says about an action and about the event's assignment.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::{ActionId, Budget, Identity, TrackingId, Unbuilt};
use crate::opencrvs::events::LONGEST_MARK;
use crate::opencrvs::fault::OpencrvsFault;
use crate::opencrvs::raw::{each_element, member};

/// State of an action in OpenCRVS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionState {
    /// The action waits for its answer.
    Open,
    /// Holds the registration number, if the document contains it.
    Accepted(Option<String>),
    Rejected,
}

/// An event, as far as it matters for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventState {
    pub action: ActionState,
    /// The id of the user to whom the event is assigned.
    pub assigned_to: Option<String>,
}

/// What an event document says about an action, for the check before the ID system is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundAction {
    /// The action waits for its answer. `person` is the one that the event is about.
    Waits { tracking_id: TrackingId, person: Option<Identity> },
    /// The action has its answer.
    Answered(ActionState),
    /// The event has no such action, or the action does not wait for the answer.
    Absent,
}

/// The event with only the actions and members that [`action_state`] and [`assigned_to`] read.
pub(super) fn answers(event: &RawValue) -> Result<Value, OpencrvsFault> {
    const MEMBERS: [&str; 6] =
        ["type", "status", "createdAt", "originalActionId", "registrationNumber", "assignedTo"];
    let mut budget = Budget::of(event.get().len());
    let mut read = |action: &RawValue| {
        let is_wanted = member(action, "originalActionId").is_some_and(|id| id.get() != "null")
            || member(action, "type").is_some_and(|kind| kind.get().ends_with("ASSIGN\""));
        if !is_wanted {
            return Ok(None);
        }
        budget.charge(1024)?;
        let found = MEMBERS.into_iter().filter_map(|name| Some((name, member(action, name)?)));
        let built = found.map(|(name, raw)| Ok((name.to_owned(), budget.build_short(raw.get())?)));
        built.collect::<Result<Map<String, Value>, Unbuilt>>().map(Some)
    };
    let (mut actions, mut unbuilt) = (Vec::new(), false);
    let list = member(event, "actions").and_then(|list| {
        each_element(list, |action| match read(action) {
            Ok(action) => actions.extend(action.map(Value::Object)),
            Err(_) => unbuilt = true,
        })
    });
    match (list, unbuilt) {
        (_, true) => Err(OpencrvsFault::Unreadable),
        (None, _) => Ok(Value::Null),
        (Some(()), false) => Ok(Value::Object(Map::from_iter([("actions".to_owned(), actions.into())]))),
    }
}

/// The state of an action according to the event document, or `None` if the document contains no
/// answer to the action.
pub(super) fn action_state(event: &Value, action: &ActionId) -> Option<ActionState> {
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

/// The user to whom the event is assigned: that of the last assignment that was not undone. `None`
/// also for an id that is not usable.
pub(super) fn assigned_to(event: &Value) -> Option<String> {
    let actions = event.get("actions").and_then(Value::as_array)?;
    let of = |action: &Value, name: &str| action.get(name).and_then(Value::as_str).map(str::to_owned);
    let is_assignment =
        |action: &&Value| matches!(of(action, "type").as_deref(), Some("ASSIGN" | "UNASSIGN"));
    // The times are RFC 3339 in UTC with the same precision, so they sort as texts.
    let last = actions.iter().filter(is_assignment).max_by_key(|action| of(action, "createdAt"))?;
    let holder = last.get("assignedTo").and_then(Value::as_str)?;
    let is_usable = !holder.is_empty() && holder.len() <= LONGEST_MARK && !holder.contains(char::is_control);
    is_usable.then(|| holder.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_accepted_action_has_the_registration_number() {
        let action = ActionId::parse("6a1b2c3d-0000-4000-8000-000000000002").unwrap();
        let of = |status: &str| {
            let event = json!({ "actions": [
                { "id": action.as_str(), "status": "Requested" },
                { "status": "Accepted", "originalActionId": "other", "registrationNumber": "OTHER" },
                { "status": status, "originalActionId": action.as_str(), "registrationNumber": "2026B" },
            ]});
            let event = serde_json::value::to_raw_value(&event).unwrap();
            action_state(&answers(&event).unwrap(), &action)
        };
        assert_eq!(of("Accepted"), Some(ActionState::Accepted(Some("2026B".to_owned()))));
        assert_eq!(of("Rejected"), Some(ActionState::Rejected));
        assert_eq!(of("Requested"), None);
    }

    #[test]
    fn an_event_is_assigned_to_the_user_of_the_last_assignment_unless_that_was_undone() {
        let assign = |second: u8, who: &str| {
            json!({ "type": "ASSIGN", "assignedTo": who,
                "createdAt": format!("2026-11-30T10:00:0{second}.000Z") })
        };
        let undo = json!({ "type": "UNASSIGN", "createdAt": "2026-11-30T10:00:05.000Z" });
        let of = |actions: &[Value]| {
            let event = serde_json::value::to_raw_value(&json!({ "actions": actions })).unwrap();
            assigned_to(&answers(&event).unwrap())
        };
        let other = json!({ "type": "READ", "createdAt": "2026-11-30T11:00:00.000Z" });
        assert_eq!(of(&[assign(2, "b"), assign(1, "a"), other]).as_deref(), Some("b"));
        assert_eq!(of(&[assign(1, "a"), undo.clone()]), None);
        assert_eq!(of(&[undo, assign(6, "c")]).as_deref(), Some("c"));
        assert_eq!(of(&[assign(1, "a\nb")]), None);
        assert_eq!(of(&[]), None);
    }
}
