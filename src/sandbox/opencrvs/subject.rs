//! The person that a record is about, as the gateway answers for it from the record's own document.
//!
//! Wire source: the resolvers of `HumanName` and `Person` in the gateway, 1.7–1.9: the given names
//! of a name are one text, and the family names are another one.

use serde_json::{Value, json};

use crate::sandbox::population::Kind;

/// The answer's member for the person, if a birth or a death has one.
pub(super) fn member(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Birth => Some("child"),
        Kind::Death => Some("deceased"),
        Kind::Marriage => None,
    }
}

/// The type of the gateway's answer.
pub(super) fn typename(kind: Kind) -> &'static str {
    match kind {
        Kind::Birth => "BirthRegistration",
        Kind::Death => "DeathRegistration",
        Kind::Marriage => "MarriageRegistration",
    }
}

/// The person of a document in the form of the gateway.
pub(super) fn person(bundle: &Value, kind: Kind) -> Option<Value> {
    let section = format!("{}-details", member(kind)?);
    let entries = bundle.get("entry")?.as_array()?;
    let resource = |entry: &Value| entry.get("resource").cloned();
    let is =
        |resource: &Value, kind: &str| resource.get("resourceType").and_then(Value::as_str) == Some(kind);
    let composition = entries.iter().filter_map(resource).find(|one| is(one, "Composition"))?;
    let sections = composition.get("section")?.as_array()?;
    let ours = sections
        .iter()
        .find(|one| one.pointer("/code/coding/0/code").and_then(Value::as_str) == Some(section.as_str()))?;
    let reference = ours.pointer("/entry/0/reference")?.as_str()?;
    let patient = entries.iter().find(|entry| {
        let id = entry.pointer("/resource/id").and_then(Value::as_str);
        let is_named = id.is_some_and(|id| reference.split('/').any(|part| part == id));
        is_named || entry.get("fullUrl").and_then(Value::as_str) == Some(reference)
    })?;
    let patient = resource(patient).filter(|one| is(one, "Patient"))?;
    let names = patient.get("name").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<Value> = names
        .map(|name| {
            json!({
                "use": name.get("use"),
                "firstNames": name.get("given").map(joined).unwrap_or_default(),
                "familyName": name.get("family").map(joined),
            })
        })
        .collect();
    let identifiers = patient.get("identifier").and_then(Value::as_array).into_iter().flatten();
    let identifiers: Vec<Value> = identifiers
        .map(|one| json!({ "id": one.get("value"), "type": one.pointer("/type/coding/0/code") }))
        .collect();
    Some(json!({ "name": names, "birthDate": patient.get("birthDate"), "identifier": identifiers }))
}

fn joined(parts: &Value) -> String {
    match parts {
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            texts.join(" ")
        }
        part @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            part.as_str().unwrap_or_default().to_owned()
        }
    }
}
