//! What a record says now: the declarations of its actions, laid over one another as OpenCRVS does it.
//!
//! An accepted action as a rule declares nothing itself; what it accepts is in the request that it answers. What the
//! pending action changes is not accepted yet, but it is what the registrar is registering, so it comes last.
//!
//! Invariant: a request that was rejected, or that nobody has answered, leaves no trace, save the pending one.

use serde_json::{Map, Value};

use super::action::Action;

type Declaration = Map<String, Value>;

/// Actions that describe a declaration without being part of it.
const ASIDE: [&str; 3] = ["REQUEST_CORRECTION", "PRINT_CERTIFICATE", "REJECT_CORRECTION"];

/// The declaration as it is to be registered.
pub(super) fn declaration(actions: &[Action], pending: &Action) -> Declaration {
    let mut accepted: Vec<&Action> = actions
        .iter()
        .filter(|action| action.is("Accepted"))
        .filter(|action| !action.kind.as_deref().is_some_and(|kind| ASIDE.contains(&kind)))
        .collect();
    // Compared as text, as core does: its times are all of one form.
    accepted.sort_by(|a, b| a.created_at.cmp(&b.created_at));
    let mut all = Declaration::new();
    for action in accepted {
        if action.kind.as_deref() == Some("APPROVE_CORRECTION")
            && let Some(request) = correction(actions, action)
        {
            lay_over(&mut all, declared(actions, request));
        }
        lay_over(&mut all, declared(actions, action));
    }
    lay_over(&mut all, pending.declaration.clone());
    drop_nulls(&mut all);
    all
}

/// What an accepted action declares: its request's declaration with its own over it.
fn declared(actions: &[Action], action: &Action) -> Declaration {
    let original = action
        .original_action_id
        .as_deref()
        .and_then(|id| actions.iter().find(|one| one.id.as_deref() == Some(id) && one.is("Requested")));
    let mut declared = original.map(|one| one.declaration.clone()).unwrap_or_default();
    lay_over(&mut declared, action.declaration.clone());
    declared
}

/// The accepted request that an approval approves, by its own id or by that of the request that it accepted.
fn correction<'a>(actions: &'a [Action], approval: &Action) -> Option<&'a Action> {
    let id = approval.request_id.as_deref()?;
    let accepted = || {
        actions.iter().filter(|one| one.is("Accepted") && one.kind.as_deref() == Some("REQUEST_CORRECTION"))
    };
    accepted()
        .find(|one| one.id.as_deref() == Some(id))
        .or_else(|| accepted().find(|one| one.original_action_id.as_deref() == Some(id)))
}

/// Objects merge member by member; anything else, null included, takes the place of what was there.
fn lay_over(below: &mut Declaration, above: Declaration) {
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(Value::Object(there)), Value::Object(more)) => lay_over(there, more),
            (_, value) => {
                below.insert(name, value);
            }
        }
    }
}

fn drop_nulls(members: &mut Declaration) {
    members.retain(|_, value| !value.is_null());
    for value in members.values_mut() {
        if let Value::Object(inner) = value {
            drop_nulls(inner);
        }
    }
}
