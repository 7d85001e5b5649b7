//! The current declaration of a record: the declarations of its actions, merged as OpenCRVS merges
//! them.
//!
//! An accepted action usually has no data of its own: the data is in the request that it accepts.
//! The changes of the pending action are not accepted yet, but they are what the registrar
//! registers, so they are merged last.
//!
//! Source: `events` of opencrvs-core (`aggregateActionDeclarations`), v1.9.0–v2.0.0.
//!
//! Invariant: a request that was rejected or has no answer is left out, except the pending one.

use serde_json::{Map, Value};

use super::action::Action;

type Declaration = Map<String, Value>;

/// Kinds of action whose declaration does not become part of the record's declaration.
const NOT_MERGED: [&str; 3] = ["REQUEST_CORRECTION", "PRINT_CERTIFICATE", "REJECT_CORRECTION"];

/// The declaration that the registrar registers with the pending action.
pub(super) fn declaration(actions: &[Action], pending: &Action) -> Declaration {
    let mut accepted: Vec<&Action> = actions
        .iter()
        .filter(|action| action.is("Accepted"))
        .filter(|action| !action.kind.as_deref().is_some_and(|kind| NOT_MERGED.contains(&kind)))
        .collect();
    // Times are compared as text, as core does: all of them have the same format.
    accepted.sort_by(|a, b| a.created_at.cmp(&b.created_at));
    let mut all = Declaration::new();
    for action in accepted {
        if action.kind.as_deref() == Some("APPROVE_CORRECTION")
            && let Some(request) = correction(actions, action)
        {
            merge(&mut all, declared(actions, request));
        }
        merge(&mut all, declared(actions, action));
    }
    merge(&mut all, pending.declaration.clone());
    drop_nulls(&mut all);
    all
}

/// What an accepted action declares: its own declaration merged over that of its request.
fn declared(actions: &[Action], action: &Action) -> Declaration {
    let original = action
        .original_action_id
        .as_deref()
        .and_then(|id| actions.iter().find(|one| one.id.as_deref() == Some(id) && one.is("Requested")));
    let mut declared = original.map(|one| one.declaration.clone()).unwrap_or_default();
    merge(&mut declared, action.declaration.clone());
    declared
}

/// Finds the accepted correction request that an approval names, either by the id of the accepting
/// action or by the id of the request that it accepted.
fn correction<'a>(actions: &'a [Action], approval: &Action) -> Option<&'a Action> {
    let id = approval.request_id.as_deref()?;
    let accepted = || {
        actions.iter().filter(|one| one.is("Accepted") && one.kind.as_deref() == Some("REQUEST_CORRECTION"))
    };
    accepted()
        .find(|one| one.id.as_deref() == Some(id))
        .or_else(|| accepted().find(|one| one.original_action_id.as_deref() == Some(id)))
}

/// Merges objects member by member; any other value, null included, replaces the value in `below`.
fn merge(below: &mut Declaration, above: Declaration) {
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(Value::Object(there)), Value::Object(more)) => merge(there, more),
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
