//! Reads the persons of the declaration.

use std::collections::BTreeMap;

use serde_json::Value;

use super::place;
use super::view::Fields;
use crate::domain::{Name, Person, Role};
use crate::opencrvs::reading::NATIONAL_ID;
use crate::opencrvs::text::name_part;

/// The names of a person's fields, without the prefix. All other fields are answers of the form.
pub(super) const MEMBERS: [&str; 16] = [
    "name",
    "dob",
    "dobUnknown",
    "age",
    "gender",
    "idType",
    "nid",
    "passport",
    "brn",
    "nationality",
    "address",
    "addressSameAs",
    "detailsNotAvailable",
    "relation",
    "other.relation",
    "reason",
];

/// The types of identifier that `idType` may name, and the field of each. Countries have other
/// types, too, but no convention for their fields.
const IDENTIFIERS: [(&str, &str); 3] =
    [(NATIONAL_ID, "nid"), ("PASSPORT", "passport"), ("BIRTH_REGISTRATION_NUMBER", "brn")];

/// The persons for whom the declaration has at least one field.
pub(super) fn persons(fields: &Fields<'_>, identifier_type: &str) -> BTreeMap<Role, Person> {
    let mut persons: BTreeMap<Role, Person> = Role::NAMES
        .into_iter()
        .filter_map(|(role, prefix)| Some((role, person(fields, prefix, identifier_type)?)))
        .collect();
    for (role, same) in [(Role::Father, Role::Mother), (Role::Spouse, Role::Deceased)] {
        let prefix = if role == Role::Father { "father" } else { "spouse" };
        if fields.text(prefix, "addressSameAs") == Some("YES") {
            let address = persons.get(&same).and_then(|person| person.address.clone());
            if let Some(person) = persons.get_mut(&role) {
                person.address = address;
            }
        }
    }
    if let Some(informant) = informant(fields, &persons) {
        persons.insert(Role::Informant, informant);
    }
    persons
}

fn person(fields: &Fields<'_>, prefix: &str, identifier_type: &str) -> Option<Person> {
    if !MEMBERS.into_iter().any(|member| fields.value(prefix, member).is_some()) {
        return None;
    }
    let details_not_available = fields.truth(prefix, "detailsNotAvailable");
    let by_age = fields.truth(prefix, "dobUnknown");
    let identifiers = identifiers(fields, prefix, identifier_type);
    let dob = (!by_age).then(|| fields.identifying(prefix, "dob")).flatten();
    Some(Person {
        name: fields.value(prefix, "name").and_then(name),
        lang: None,
        names: BTreeMap::new(),
        age: if dob.is_none() { fields.value(prefix, "age").and_then(age) } else { None },
        dob,
        date_of_death: None,
        gender: fields.identifying(prefix, "gender"),
        nid: identifiers.get(NATIONAL_ID).cloned(),
        identifiers,
        nationality: fields.kept(prefix, "nationality"),
        address: fields.value(prefix, "address").and_then(place::address),
        relation: None,
        details_not_available,
        // `child.reason` has another meaning: why the registration is late.
        reason: if details_not_available { fields.kept(prefix, "reason") } else { None },
    })
}

/// Finds the informant, who is one of the other persons of the record or has separate fields.
fn informant(fields: &Fields<'_>, persons: &BTreeMap<Role, Person>) -> Option<Person> {
    let relation = fields.text("informant", "relation");
    let same = match relation {
        Some("MOTHER") => Some(Role::Mother),
        Some("FATHER") => Some(Role::Father),
        Some("SPOUSE") => Some(Role::Spouse),
        Some("BRIDE") => Some(Role::Bride),
        Some("GROOM") => Some(Role::Groom),
        Some(_) | None => None,
    };
    let mut informant = match same {
        Some(role) => persons.get(&role).or_else(|| persons.get(&Role::Informant)).cloned(),
        None => persons.get(&Role::Informant).cloned(),
    }?;
    let other = if relation == Some("OTHER") { fields.text("informant", "other.relation") } else { None };
    informant.relation = other.or(relation).map(str::to_owned);
    Some(informant)
}

/// If there is an `idType`, only that identifier counts: the others may be left over from an
/// earlier choice. `identifier_type` is the country's own name of the national ID.
fn identifiers(fields: &Fields<'_>, prefix: &str, identifier_type: &str) -> BTreeMap<String, String> {
    let chosen = fields.text(prefix, "idType");
    let chosen = chosen.map(|chosen| if chosen == identifier_type { NATIONAL_ID } else { chosen });
    IDENTIFIERS
        .into_iter()
        .filter(|(kind, _)| chosen.is_none_or(|chosen| chosen == *kind))
        .filter_map(|(kind, member)| Some((kind.to_owned(), fields.identifying(prefix, member)?)))
        .collect()
}

fn name(value: &Value) -> Option<Name> {
    let part = |name| value.get(name)?.as_str().and_then(|part| name_part([part]));
    let read =
        Name { firstname: part("firstname"), middlename: part("middlename"), surname: part("surname") };
    (read != Name::default()).then_some(read)
}

/// Reads an age: an object `{age, asOfDateRef}`, or a bare number.
fn age(value: &Value) -> Option<u16> {
    let years = value.get("age").unwrap_or(value);
    let whole = years.as_u64().or_else(|| years.as_str()?.trim().parse().ok())?;
    u16::try_from(whole).ok()
}
