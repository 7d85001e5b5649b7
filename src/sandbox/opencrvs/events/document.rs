//! The declaration of a family in the form fields of this generation. The people are the same as in
//! the FHIR generation.
//!
//! Wire source: `opencrvs-events.md` §5 (fields of farajaland 1.9.11).
//!
//! Invariant: the fields come from the facts of the population. No code of the bridge is used, so
//! that an error in the bridge's mapping cannot hide itself.

use serde_json::{Map, Value, json};

use crate::sandbox::population::{Declaration, FamilyRole, Kind, NATIONALITY, REASON_OF_ABSENCE};

/// The fields that the registrar corrects while registering: none, or the given name.
pub(super) fn correction(kind: Kind, name: Option<&str>) -> Map<String, Value> {
    let subject = match kind {
        Kind::Birth => "child",
        Kind::Death => "deceased",
        Kind::Marriage => "bride",
    };
    let field = format!("{subject}.name");
    name.map(|name| Map::from_iter([(field, json!({ "firstname": name }))])).unwrap_or_default()
}

/// The fields of the declaration form.
pub(in crate::sandbox::opencrvs) fn declaration(family: &Declaration) -> Map<String, Value> {
    let (_, relation) = family.informant();
    let mut fields = Map::from_iter([("informant.relation".to_owned(), json!(relation))]);
    for role in family.members() {
        // The forms of this country do not ask for the witnesses of a marriage.
        if matches!(role, FamilyRole::WitnessOne | FamilyRole::WitnessTwo) {
            continue;
        }
        fields.extend(member_fields(family, role));
    }
    if let Some(died) = family.member(FamilyRole::Deceased).and_then(|deceased| deceased.died) {
        fields.insert("eventDetails.date".to_owned(), json!(died));
    }
    fields
}

fn member_fields(family: &Declaration, role: FamilyRole) -> Vec<(String, Value)> {
    let members = match family.member(role) {
        None => vec![("detailsNotAvailable", json!(true)), ("reason", json!(REASON_OF_ABSENCE))],
        Some(member) => {
            let name = json!({
                "firstname": member.given, "middlename": member.middle, "surname": member.family
            });
            let mut members = vec![("name", name)];
            members.extend(member.born.map(|born| ("dob", json!(born))));
            members.extend(member.gender.map(|gender| ("gender", json!(gender))));
            if let Some(id) = member.national_id {
                members.extend([("idType", json!("NATIONAL_ID")), ("nid", json!(id))]);
            }
            members.extend((role != FamilyRole::Child).then(|| ("nationality", json!(NATIONALITY))));
            members
        }
    };
    members.into_iter().map(|(field, value)| (format!("{}.{field}", role.name()), value)).collect()
}
