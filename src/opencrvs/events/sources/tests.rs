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

/// Forms of countries that follow no convention: kind of event, setting, declaration, member, and
/// the value that is read (JSON; `null` is absent).
const FORMS: &str = r#"
birth ; child.name = child.nameEnglish ; {"child.nameEnglish":{"surname":"B"}} ; child.surname ; "B"
birth ; child.name = a | b ; {"a":{"firstname":"A"},"b":{"firstname":"B"}} ; child.firstname ; "A"
birth ; child.name = a | b ; {"a":null,"b":{"firstname":"B"}} ; child.firstname ; "B"
birth ; child.name = a | b ; {"a":"","b":{"firstname":"B"}} ; child.firstname ; "B"
birth ; child.name.surname = f ; {"child.name":{"firstname":"A"},"f":"F"} ; child.surname ; "F"
birth ; child.name.surname = f ; {"child.name":{"firstname":"A"},"f":"F"} ; child.firstname ; "A"
birth ; child.name.firstname = p.q.r ; {"p":{"q":{"r":"deep"}}} ; child.firstname ; "deep"
birth ; child.name.firstname = p.q.r ; {"p.q":{"r":"long"},"p":{"q":{"r":"deep"}}} ; child.firstname ; "long"
birth ; child.dob = birth.date ; {"birth.date":"2026-9-5"} ; child.dob ; "2026-9-5"
birth ; child.dob = birth.date ; {"child.dob":"2026-09-05"} ; child.dob ; null
birth ; child.gender = infant.sex ; {"infant.sex":"female","child.gender":"male"} ; child.gender ; "female"
birth ; mother.nid = mother.nin ; {"mother.nin":"0012"} ; mother.nid ; "0012"
birth ; mother.nid = mother.nin ; {"mother.nin":12} ; mother.nid ; "12"
birth ; mother.nid = mother.nin ; {"mother.nin":{"value":"12"}} ; mother.nid ; ""
birth ; mother.nid = mother.nin.value ; {"mother.nin":{"value":"12"}} ; mother.nid ; "12"
birth ; father.nid = none ; {"father.nid":"12"} ; father.nid ; null
death ; deceased.nid = deceased.uin | deceased.nin ; {"deceased.nin":"7"} ; deceased.nid ; "7"
death ; deceased.nid = deceased.uin ; {"deceased.uin":7001112223} ; deceased.nid ; "7001112223"
death ; deceased.dateOfDeath = d ; {"deceased.nid":"7","d":"2026-11-01"} ; deceased.died ; "2026-11-01"
death ; deceased.dateOfDeath = d | e ; {"deceased.nid":"7","e":"2026-11-02"} ; deceased.died ; "2026-11-02"
death ; deceased.nid = "Identité (défunt)" ; {"Identité (défunt)":"7"} ; deceased.nid ; "7"
"#;

#[test]
fn twenty_forms_with_other_fields_are_read_as_the_setting_says() {
    for line in FORMS.trim().lines() {
        let columns: Vec<&str> = line.split(" ; ").collect();
        let [kind, setting, declared, member, expected] = columns.as_slice() else { panic!("{line}") };
        let view = seen(kind, &serde_json::from_str(declared).unwrap(), &reading(setting));
        let (role, member) = member.split_once('.').unwrap();
        let role = Role::NAMES.into_iter().find(|(_, name)| *name == role).unwrap().0;
        let person = view.person(role).cloned().unwrap_or_default();
        let name = person.name.unwrap_or_default();
        let found = match member {
            "firstname" => name.firstname,
            "surname" => name.surname,
            "dob" => person.dob,
            "gender" => person.gender,
            "died" => person.date_of_death,
            _ => person.nid,
        };
        assert_eq!(json!(found), serde_json::from_str::<Value>(expected).unwrap(), "{line}");
    }
}

#[test]
fn twenty_identifiers_are_read_as_the_national_id_or_not() {
    let [fhir, events] = [Dialect::Fhir, Dialect::Events].map(FieldSources::conventional);
    let nin = Reading::new("NIN".to_owned(), fhir, events);
    let usual = Reading::default();
    for (reading, chosen, nid, read) in [
        (&usual, json!("NATIONAL_ID"), json!("7001112223"), Some("7001112223")),
        (&usual, json!(" NATIONAL_ID "), json!("7001112223"), Some("7001112223")),
        (&usual, json!(null), json!("7001112223"), Some("7001112223")),
        (&usual, json!(""), json!("7001112223"), Some("7001112223")),
        (&usual, json!("PASSPORT"), json!("7001112223"), None),
        (&usual, json!("BIRTH_REGISTRATION_NUMBER"), json!("7001112223"), None),
        (&usual, json!("NONE"), json!("7001112223"), None),
        (&usual, json!("NIN"), json!("7001112223"), None),
        (&usual, json!("national_id"), json!("7001112223"), None),
        (&usual, json!("NATIONAL_ID"), json!(7_001_112_223_u64), Some("7001112223")),
        (&usual, json!("NATIONAL_ID"), json!("007"), Some("007")),
        (&usual, json!("NATIONAL_ID"), json!(" 7001 112 223 "), Some("7001 112 223")),
        (&usual, json!("NATIONAL_ID"), json!("٧٠٠١"), Some("٧٠٠١")),
        (&usual, json!("NATIONAL_ID"), json!(""), None),
        (&usual, json!("NATIONAL_ID"), json!(null), None),
        (&usual, json!("NATIONAL_ID"), json!({ "number": "7" }), Some("")),
        (&usual, json!("NATIONAL_ID"), json!(7.5), Some("")),
        (&nin, json!("NIN"), json!("CM1"), Some("CM1")),
        (&nin, json!("NATIONAL_ID"), json!("CM1"), Some("CM1")),
        (&nin, json!("PASSPORT"), json!("CM1"), None),
        (&nin, json!(null), json!("CM1"), Some("CM1")),
    ] {
        let declared = json!({ "deceased.idType": chosen, "deceased.nid": nid });
        let view = seen("death", &declared, reading);
        let found = view.person(Role::Deceased).and_then(|person| person.nid.clone());
        assert_eq!(found.as_deref(), read, "{declared}");
    }
}
