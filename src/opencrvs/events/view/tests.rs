//! What of a declaration is in the view, and what is left out.

use serde_json::json;

use super::*;
use crate::opencrvs::events::tests::{PENDING, action, declared, event, read_event};

/// The view of a birth with this declaration, while its registration is pending.
fn view(declaration: Value) -> View {
    seen("birth", declaration)
}

fn seen(kind: &str, declaration: Value) -> View {
    let actions = [
        action("a", "Requested", "DECLARE", 1, declared(declaration)),
        action("b", "Accepted", "DECLARE", 2, json!({ "originalActionId": "a" })),
        action(PENDING, "Requested", "REGISTER", 3, json!({})),
    ];
    read_event(&event(kind, &actions)).unwrap().view
}

#[test]
fn fields_that_say_which_other_fields_count_are_applied() {
    let seen = view(json!({
        "mother.dob": "1990-01-01", "mother.dobUnknown": true, "mother.age": { "age": 30, "asOfDateRef": "child.dob" },
        "mother.nationality": " FAR ", "mother.idType": "PASSPORT", "mother.nid": "1234567890", "mother.passport": "P1",
        "father.detailsNotAvailable": true, "father.name": { "firstname": "Old" }, "father.reason": "unknown",
        "child.dob": "2026-01-01", "child.age": 3, "child.reason": "snow",
        "informant.relation": "OTHER", "informant.other.relation": "NEIGHBOUR", "informant.nid": "999",
        "informant.email": "a@b.c", "mother.verified": "verified",
    }));
    let mother = seen.person(Role::Mother).unwrap();
    assert_eq!((mother.dob.as_deref(), mother.age, mother.nid.as_deref()), (None, Some(30), None));
    assert_eq!(mother.identifiers.get("PASSPORT").map(String::as_str), Some("P1"));
    assert_eq!(mother.nationality.as_deref(), Some("FAR"));
    assert!(seen.person(Role::Father).is_none());
    assert_eq!(seen.persons.get(&Role::Father).unwrap().reason.as_deref(), Some("unknown"));
    let child = seen.person(Role::Child).unwrap();
    assert_eq!((child.age, child.reason.as_deref()), (None, None));
    let informant = seen.person(Role::Informant).unwrap();
    assert_eq!((informant.relation.as_deref(), informant.nid.as_deref()), (Some("NEIGHBOUR"), Some("999")));
    let answers: Vec<&str> = seen.answers.keys().map(String::as_str).collect();
    assert_eq!(answers, ["child.reason", "informant.email", "mother.verified"]);
}

#[test]
fn a_malformed_value_counts_as_absent_and_refuses_nothing() {
    let seen = view(json!({
        "child.name": "Ada", "child.dob": 7, "child.gender": [], "child.address": { "country": 3 }, "child.nid": {},
        "mother.name": null, "mother.age": -1, "mother.address": "here", "x".repeat(300): "long",
        "eventDetails.date": {}, "child.placeOfBirth": "OTHER", "child.birthLocation.other": 1,
    }));
    assert!(seen.person(Role::Child).unwrap().name.is_none());
    assert!(seen.answers.is_empty());
    let actions =
        [json!({ "type": 3, "unknown": {} }), action(PENDING, "Requested", "SOMETHING_NEW", 1, json!({}))];
    assert!(read_event(&event("tennis-club-membership", &actions)).is_ok());
}

#[test]
fn personal_data_counts_as_present_however_long_it_is() {
    let long = |letter: &str| letter.repeat(9_000);
    for (letter, most) in [("x", 256), ("க", 256), ("ক", 256)] {
        let seen = view(json!({
            "child.name": { "firstname": letter.repeat(86), "middlename": " ", "surname": long(letter) },
            "child.dob": long("2"), "child.nid": long("7"), "child.gender": long("g"),
        }));
        let child = seen.person(Role::Child).unwrap();
        let name = child.name.as_ref().unwrap();
        assert_eq!(
            (name.firstname.as_deref(), name.middlename.as_deref()),
            (Some(&*letter.repeat(86)), None)
        );
        assert_eq!(name.surname.as_ref().unwrap().chars().count(), most);
        let lengths = [&child.dob, &child.nid, &child.gender].map(|text| text.as_ref().unwrap().len());
        assert_eq!(lengths, [128; 3], "longer than the contract allows, so it is refused");
    }
}

#[test]
fn an_office_is_a_short_text_without_control_characters() {
    let longest = "க".repeat(LONGEST);
    for (id, usable) in [
        ("office-1", true),
        (" office-1 ", true),
        (longest.as_str(), true),
        (&format!("{longest}க"), false),
        ("off\u{0}ice", false),
        ("", false),
        (" ", false),
    ] {
        let registered = action(PENDING, "Requested", "REGISTER", 1, json!({ "createdAtLocation": id }));
        let office = read_event(&event("birth", &[registered])).unwrap().office;
        assert_eq!(office.as_deref(), usable.then(|| id.trim()), "{id:?}");
    }
}

#[test]
fn a_place_is_read_from_the_field_of_its_kind() {
    let area = |id: &str| json!({ "administrativeArea": id });
    let declaration = json!({
        "child.birthLocation": "facility-b", "child.birthLocation.privateHome": area("home"),
        "child.birthLocation.other": area("elsewhere-b"), "eventDetails.deathLocation": "facility-d",
        "deceased.address": area("residence"), "eventDetails.deathLocationOther": area("elsewhere-d"),
    });
    for (event, field, place, id) in [
        ("birth", "child.placeOfBirth", "HEALTH_FACILITY", "facility-b"),
        ("birth", "child.placeOfBirth", "PRIVATE_HOME", "home"),
        ("birth", "child.placeOfBirth", "OTHER", "elsewhere-b"),
        ("death", "eventDetails.placeOfDeath", "HEALTH_FACILITY", "facility-d"),
        ("death", "eventDetails.placeOfDeath", "DECEASED_USUAL_RESIDENCE", "residence"),
        ("death", "eventDetails.placeOfDeath", "OTHER", "elsewhere-d"),
    ] {
        let mut declaration = declaration.clone();
        declaration[field] = json!(place);
        let read = seen(event, declaration).event_details.place.unwrap();
        assert_eq!((read.kind.as_deref(), read.id.as_deref()), (Some(place), Some(id)), "{event}");
    }
    assert_eq!(seen("birth", declaration).event_details.place, None);
}

#[test]
fn a_field_of_nobody_in_the_view_is_an_answer_of_the_form() {
    let seen =
        view(json!({ "witness.name": "Eve", "witness.nid": "7", "mother.nid": "8", "name": "Form 3" }));
    assert_eq!(seen.answers.keys().collect::<Vec<_>>(), ["name", "witness.name", "witness.nid"]);
}

#[test]
fn a_marriage_of_the_country_is_read_like_any_other_event() {
    let seen =
        seen("marriage", json!({ "bride.name": { "firstname": "Ada" }, "eventDetails.date": "2026-01-01" }));
    assert!(seen.person(Role::Bride).is_some());
    assert_eq!(seen.event_details.date.as_deref(), Some("2026-01-01"));
}
