//! The current declaration of a record: the declarations of its actions, merged as OpenCRVS merges
//! them.
//!
//! An accepted action usually has no data of its own: the data is in the request that it accepts.
//! The changes of the pending action are not accepted yet, but they are what the registrar
//! registers, so they are merged last.
//!
//! Source: `commons` of opencrvs-core (`aggregateActionDeclarations`,
//! `getCompleteActionDeclaration` and `deepMerge`), v1.9.0–v2.0.0. Core also strips the fields that
//! the form hides; `person` reads what decides about that.
//!
//! Invariant: a request that was rejected or has no answer is left out, except the pending one. Only
//! the merged declaration and those that are being merged are built in memory.

use serde_json::{Map, Value};

use super::action::{Action, MOST_DECLARED};
use crate::domain::{Unbuilt, built_size};

type Declaration = Map<String, Value>;

/// Kinds of action whose declaration does not become part of the record's declaration.
const NOT_MERGED: [&str; 3] = ["REQUEST_CORRECTION", "PRINT_CERTIFICATE", "REJECT_CORRECTION"];

/// The declaration that the registrar registers with the pending action.
///
/// # Errors
/// [`Unbuilt`] if a declaration cannot be built, or takes too much memory.
pub(super) fn declaration(actions: &[Action<'_>], pending: &Action<'_>) -> Result<Declaration, Unbuilt> {
    let mut accepted: Vec<&Action<'_>> = actions
        .iter()
        .filter(|action| action.is("Accepted"))
        .filter(|action| !action.kind.as_deref().is_some_and(|kind| NOT_MERGED.contains(&kind)))
        .collect();
    // Times are compared as text, as core does: all of them have the same format. Actions of the
    // same time stay in the order of the document.
    accepted.sort_by(|a, b| a.created_at.cmp(&b.created_at));
    let mut merged = Merged::default();
    for action in accepted {
        if action.kind.as_deref() == Some("APPROVE_CORRECTION") {
            // The approval of a request that is not there changes nothing.
            let Some(request) = correction(actions, action) else { continue };
            fold(&mut merged, actions, request)?;
        }
        fold(&mut merged, actions, action)?;
    }
    merged.add(pending.declaration()?)?;
    drop_nulls(&mut merged.all);
    Ok(merged.all)
}

/// The declarations that have been merged.
#[derive(Default)]
struct Merged {
    all: Declaration,
    /// What they take in memory at most, in bytes.
    size: usize,
}

impl Merged {
    fn add(&mut self, declared: Declaration) -> Result<(), Unbuilt> {
        self.size += built_size(&declared);
        merge(&mut self.all, declared);
        if self.size <= MOST_DECLARED {
            return Ok(());
        }
        // Most values have replaced others.
        self.size = built_size(&self.all);
        if self.size > MOST_DECLARED / 2 { Err(Unbuilt::TooCostly) } else { Ok(()) }
    }
}

/// Merges an accepted action: the declaration of its request, and then that of both together. Core
/// does it in these two steps, so a null in the request erases what was there before, even if the
/// action itself has a value again.
fn fold(merged: &mut Merged, actions: &[Action<'_>], action: &Action<'_>) -> Result<(), Unbuilt> {
    let original = action.original_action_id.as_deref();
    let original = original.and_then(|id| actions.iter().find(|one| one.id.as_deref() == Some(id)));
    let mut declared = Declaration::new();
    if let Some(request) = original.filter(|one| one.is("Requested")) {
        declared = request.declaration()?;
        merged.add(declared.clone())?;
    }
    merge(&mut declared, action.declaration()?);
    merged.add(declared)
}

/// Finds the accepted action that an approval names. Core does not know a request by the id that it
/// had before it was accepted.
fn correction<'e, 'a>(actions: &'e [Action<'a>], approval: &Action<'_>) -> Option<&'e Action<'a>> {
    let id = approval.request_id.as_deref()?;
    actions.iter().find(|one| one.is("Accepted") && one.id.as_deref() == Some(id))
}

/// Merges objects member by member; any other value, null included, replaces the value in `below`.
fn merge(below: &mut Declaration, above: Declaration) {
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(Value::Object(there)), Value::Object(more)) => merge(there, more),
            // Core merges the members of an object into a list, where JSON does not show them.
            (Some(Value::Array(_)), Value::Object(_)) => {}
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

#[cfg(test)]
mod tests;
