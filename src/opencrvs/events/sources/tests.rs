use serde_json::json;

use super::*;
use crate::domain::{ActionId, Dialect, FieldSources, View};
use crate::opencrvs::events::read;

const ACTION: &str = "e4ef249e-dc06-4b5e-840a-2ee7edc3f826";

fn reading(events: &str) -> Reading {
    let [fhir, events] = [(Dialect::Fhir, FieldSources::FHIR), (Dialect::Events, events)]
        .map(|(dialect, text)| FieldSources::parse(dialect, text).unwrap());
    Reading::new("NATIONAL_ID".to_owned(), fhir, events)
}

/// The view of an event with this declaration.
fn seen(kind: &str, declaration: &Value, reading: &Reading) -> View {
    let event = json!({ "id": "event-1", "type": kind, "trackingId": "PRZIB7", "actions": [
        { "id": ACTION, "status": "Requested", "type": "REGISTER", "createdAt": "2026-11-30T00:00:00.000Z",
          "declaration": declaration }
    ]});
    let action = ActionId::parse(ACTION).unwrap();
    read(event.to_string().as_bytes(), Some(&action), reading).unwrap().view
}

/// A child with names in three fields, none of which is `child.name`.
fn trilingual() -> Value {
    json!({ "child.gender": "female", "child.dob": "2026-10-05",
        "child.nameEnglish": { "firstname": "Amara", "surname": "Silva" },
        "child.nameSinhala": { "firstname": "අමාරා", "surname": "සිල්වා" },
        "child.nameTamil": { "firstname": "அமாரா", "surname": "சில்வா" } })
}

fn name(view: &View, role: Role) -> Option<[Option<&str>; 3]> {
    let name = view.person(role)?.name.as_ref()?;
    Some([&name.firstname, &name.middlename, &name.surname].map(Option::as_deref))
}

#[test]
fn a_name_is_read_from_the_field_that_the_setting_names() {
    assert_eq!(name(&seen("birth", &trilingual(), &reading(FieldSources::EVENTS)), Role::Child), None);
    let english = reading("child.name = child.nameEnglish");
    let view = seen("birth", &trilingual(), &english);
    assert_eq!(name(&view, Role::Child), Some([Some("Amara"), None, Some("Silva")]));
    let mut without = trilingual();
    without["child.nameEnglish"] = json!(null);
    let either = reading("child.name = child.nameEnglish | child.nameTamil");
    assert_eq!(name(&seen("birth", &without, &either), Role::Child).unwrap()[0], Some("அமாரா"));
    without["child.name"] = json!({ "firstname": "Left over" });
    assert_eq!(name(&seen("birth", &without, &english), Role::Child), None, "only from its sources");
}

#[test]
fn the_parts_of_a_name_may_be_in_fields_of_their_own() {
    let parts = "child.name = none, child.name.firstname = child.given, child.name.middlename = child.more.second, \
                 child.name.surname = child.family";
    let declared = json!({ "child.given": "Amara", "child.more": { "second": "Devi" }, "child.family": "Silva",
        "child.gender": "female" });
    let view = seen("birth", &declared, &reading(parts));
    assert_eq!(name(&view, Role::Child), Some([Some("Amara"), Some("Devi"), Some("Silva")]));
    assert!(view.answers.is_empty(), "a source is not an answer too: {:?}", view.answers.keys());
}

#[test]
fn two_members_may_change_places() {
    let swapped = reading("mother.nid = father.nid, father.nid = mother.nid");
    let view = seen("birth", &json!({ "mother.nid": "1", "father.nid": "2" }), &swapped);
    let nid = |role| view.person(role).unwrap().nid.clone();
    assert_eq!((nid(Role::Mother), nid(Role::Father)), (Some("2".to_owned()), Some("1".to_owned())));
}

#[test]
fn the_date_of_an_event_follows_its_configuration() {
    let declared = json!({ "deceased.nid": "7001112224", "deceased.eventDate": "2026-11-01",
        "child.bornOn": "2026-10-05", "marriage.day": "2026-09-01" });
    let known = reading(FieldSources::EVENTS);
    let died = |reading: &Reading| {
        let view = seen("death", &declared, reading);
        assert_eq!(view.person(Role::Child), None, "a death has no child");
        view.person(Role::Deceased).unwrap().date_of_death.clone()
    };
    assert_eq!(died(&known), None);
    let path = |field: &str| FieldPath { field: field.to_owned(), parts: Vec::new() };
    let dates = [("death", "deceased.eventDate"), ("birth", "child.bornOn"), ("marriage", "marriage.day")];
    known.clone().learn_dates(dates.map(|(kind, field)| (kind.to_owned(), path(field))).into());
    assert_eq!(died(&known).as_deref(), Some("2026-11-01"));
    let born = seen("birth", &declared, &known);
    assert_eq!(born.person(Role::Child).unwrap().dob.as_deref(), Some("2026-10-05"));
    let married = seen("marriage", &declared, &known);
    assert_eq!(married.event_details.date.as_deref(), Some("2026-09-01"));
    let set = reading("deceased.dateOfDeath = deceased.eventDate");
    assert_eq!(died(&set).as_deref(), Some("2026-11-01"));
    let undated = seen("death", &json!({ "deceased.nid": "7001112224" }), &known);
    assert_eq!(undated.person(Role::Deceased).unwrap().date_of_death, None, "where the form allows it");
}

#[test]
fn the_countrys_own_type_of_identifier_is_the_national_id() {
    let [fhir, events] = [Dialect::Fhir, Dialect::Events].map(FieldSources::conventional);
    let nin = Reading::new("NIN".to_owned(), fhir, events);
    let deceased = |kind: &str| json!({ "deceased.idType": kind, "deceased.nid": "CM1234567891" });
    let read = |kind: &str, reading: &Reading| {
        seen("death", &deceased(kind), reading).person(Role::Deceased).unwrap().nid.clone()
    };
    assert_eq!(read("NIN", &nin).as_deref(), Some("CM1234567891"));
    assert_eq!(read("NATIONAL_ID", &nin).as_deref(), Some("CM1234567891"));
    assert_eq!(read("PASSPORT", &nin), None, "left over from an earlier choice");
    assert_eq!(read("NIN", &Reading::default()), None);
}
