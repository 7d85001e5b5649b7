//! Persons of a bundle, whose data is read as it is and never refused.

use serde_json::json;

use super::*;
use crate::domain::Role;
use crate::opencrvs::fhir::tests::with;

/// The child of a bundle, after a change to its `Patient`.
fn child(change: impl FnOnce(&mut Value)) -> Person {
    with("Patient", change).unwrap().view.person(Role::Child).unwrap().clone()
}

#[test]
fn a_person_of_whom_nothing_is_known_is_not_one_of_the_view() {
    let reason = json!([{ "url": "x/reason-not-applying", "valueString": "No father" }]);
    for (active, known) in [(json!(false), false), (json!(null), false), (json!(true), true)] {
        let document = with("Patient", |patient| {
            patient["active"] = active.clone();
            patient["extension"] = reason.clone();
        });
        assert_eq!(document.unwrap().view.person(Role::Child).is_some(), known, "{active}");
    }
}

#[test]
fn a_name_is_read_whole_and_the_most_complete_one_is_taken() {
    let tamil = "நிமாலி".repeat(20);
    for (names, first, middle, last, lang) in [
        (json!([{ "use": "en", "given": ["Ada"], "family": "Doe" }]), "Ada", "", "Doe", "en"),
        (json!([{ "given": ["Ada"], "family": "Doe" }]), "Ada", "", "Doe", ""),
        (json!([{ "use": "en", "given": ["A", "B", "C", "D"], "family": "Doe" }]), "A", "B C D", "Doe", "en"),
        (
            json!([{ "use": "es", "given": ["Ana"], "family": ["García", "Lorca"] }]),
            "Ana",
            "",
            "García Lorca",
            "es",
        ),
        (json!([{ "use": "fr", "given": "Zoé", "family": "Noël" }]), "Zoé", "", "Noël", "fr"),
        (json!([{ "use": "ta", "given": [tamil] }]), tamil.as_str(), "", "", "ta"),
        (
            json!([{ "use": "en", "family": "Doe" }, { "use": "bn", "given": ["ক"], "family": "খ" }]),
            "ক",
            "",
            "খ",
            "bn",
        ),
        (
            json!([{ "use": "en", "given": ["Ada"], "family": "Doe" }, { "use": "bn", "given": ["ক"], "family": "খ" }]),
            "Ada",
            "",
            "Doe",
            "en",
        ),
        (
            json!([{ "use": "en", "given": ["Ada"], "family": "Doe" }, { "use": "am", "given": ["ሰ", "አ"], "family": "ተ" }]),
            "ሰ",
            "አ",
            "ተ",
            "am",
        ),
        (json!([{ "use": "en" }, { "use": "km", "given": [" "], "family": "សុខ" }]), "", "", "សុខ", "km"),
    ] {
        let shown = names.to_string();
        let document = with("Patient", |patient| patient["name"] = names).unwrap();
        let child = document.view.person(Role::Child).unwrap();
        let name = child.name.clone().unwrap();
        let parts = [&name.firstname, &name.middlename, &name.surname]
            .map(|part| part.as_deref().unwrap_or_default());
        assert_eq!(
            (parts, child.lang.as_deref().unwrap_or_default()),
            ([first, middle, last], lang),
            "{shown}"
        );
    }
}

#[test]
fn personal_data_counts_as_present_however_long_it_is() {
    let document = with("Patient", |patient| {
        patient["name"] = json!([{ "use": "en", "given": ["க".repeat(9_000)], "family": "Doe" }]);
        patient["birthDate"] = json!("2".repeat(9_000));
        patient["identifier"] =
            json!([{ "type": { "coding": [{ "code": "NATIONAL_ID" }] }, "value": "7".repeat(9_000) }]);
    });
    let view = document.unwrap().view;
    let child = view.person(Role::Child).unwrap();
    let first = child.name.as_ref().unwrap().firstname.as_ref().unwrap();
    assert_eq!((first.chars().count(), child.dob.as_ref().unwrap().len()), (256, 128));
    assert_eq!(child.nid.as_ref().unwrap().len(), 128, "longer than the contract allows, so it is refused");
    assert!(serde_json::to_string(&view).unwrap().len() < 16_384);
}

#[test]
fn an_age_is_a_number_or_the_text_of_one() {
    for (name, value, age) in [
        ("valueInteger", json!(7), Some(7)),
        ("valueString", json!(" 30 "), Some(30)),
        ("valueDecimal", json!(41), Some(41)),
        ("valueInteger", json!(65_536), None),
        ("valueInteger", json!(-1), None),
        ("valueString", json!("thirty"), None),
        ("valueBoolean", json!(true), None),
    ] {
        let extension =
            json!([{ "url": "http://opencrvs.org/specs/extension/age-of-individual-in-years", name: value }]);
        assert_eq!(child(|patient| patient["extension"] = extension.clone()).age, age, "{extension}");
    }
}

#[test]
fn a_nationality_is_the_code_in_its_extension() {
    let coded = |concept: Value| {
        let code = json!([{ "url": "code", "valueCodeableConcept": concept }]);
        let url = "http://hl7.org/fhir/StructureDefinition/patient-nationality";
        child(|patient| patient["extension"] = json!([{ "url": url, "extension": code }])).nationality
    };
    assert_eq!(coded(json!({ "coding": [{ "code": "FAR" }] })).as_deref(), Some("FAR"));
    assert_eq!(coded(json!({ "coding": [] })), None);
    assert_eq!(child(|_| {}).nationality, None);
}

#[test]
fn the_primary_address_is_read_or_else_the_first() {
    let primary = json!({
        "type": "PRIMARY_ADDRESS", "country": "FAR", "state": "s-1", "district": "d-1", "city": "Isamba",
        "postalCode": "9", "line": ["7", "", "x".repeat(LONGEST + 1), 7, "Low Road", "", " "],
    });
    let other = |city: &str| json!({ "type": "SECONDARY_ADDRESS", "city": city });
    let read = |addresses: Value| child(|patient| patient["address"] = addresses).address;
    for order in [json!([primary, other("A")]), json!([other("A"), primary])] {
        let address = read(order).unwrap();
        let texts =
            [&address.country, &address.state, &address.district, &address.city, &address.postal_code];
        assert_eq!(texts.map(|text| text.as_deref().unwrap()), ["FAR", "s-1", "d-1", "Isamba", "9"]);
        assert_eq!(address.lines, ["7", "", "", "", "Low Road"], "each line keeps its number");
        assert_eq!(address.codes.last().map(String::as_str), Some("DISTRICT"));
    }
    assert_eq!(read(json!([other("A"), other("B")])).unwrap().city.as_deref(), Some("A"));
    assert_eq!(read(json!([])), None);
}
