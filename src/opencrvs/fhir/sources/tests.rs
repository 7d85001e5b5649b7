use serde_json::{Value, json};

use crate::domain::{Dialect, FieldSources, Role};
use crate::opencrvs::Reading;
use crate::opencrvs::fhir::read;
use crate::opencrvs::fhir::tests::bundle;

/// A death whose deceased, mother and father have identifiers of another type, and answers of the
/// questionnaire.
fn death_with_nin() -> Value {
    let identifier =
        |kind: &str, value: &str| json!([{ "type": { "coding": [{ "code": kind }] }, "value": value }]);
    let mut death =
        bundle().to_string().replace("birth-", "death-").replace("child-details", "deceased-details");
    death = death.replace("\"BIRTH\"", "\"DEATH\"");
    let mut death: Value = serde_json::from_str(&death).unwrap();
    for entry in death["entry"].as_array_mut().unwrap() {
        match entry["resource"]["id"].as_str() {
            Some("p-1") => entry["resource"]["identifier"] = identifier("NIN", "CM1234567891"),
            Some("p-2") => entry["resource"]["identifier"] = identifier("NIN", "CF1234567892"),
            _ => {}
        }
    }
    let answers = json!({ "resource": { "resourceType": "QuestionnaireResponse", "id": "q-1", "item": [
        { "text": "death.deceased.deceased-view-group.uin", "answer": [{ "valueString": "4001112223" }] },
        { "text": "death.deathEvent.death-event-details.day", "answer": [{ "valueString": "2026-11-01" }] } ] } });
    death["entry"].as_array_mut().unwrap().push(answers);
    death
}

#[test]
fn ids_are_read_under_the_type_under_which_they_are_written() {
    let nids = |reading: &Reading| {
        let view = read(death_with_nin().to_string().as_bytes(), reading).unwrap().view;
        [Role::Deceased, Role::Mother].map(|role| view.person(role).unwrap().nid.clone())
    };
    let Reading { fhir, events, .. } = Reading::default();
    assert_eq!(nids(&Reading::default()), [None, None]);
    let nin = Reading::new("NIN".to_owned(), fhir, events);
    assert_eq!(nids(&nin), [Some("CM1234567891".to_owned()), Some("CF1234567892".to_owned())]);
}

#[test]
fn a_member_may_be_another_identifier_or_an_answer_of_the_questionnaire() {
    let with = |sources: &str| {
        let fhir = FieldSources::parse(Dialect::Fhir, sources).unwrap();
        let reading = Reading::new("NATIONAL_ID".to_owned(), fhir, Reading::default().events);
        let view = read(death_with_nin().to_string().as_bytes(), &reading).unwrap().view;
        let deceased = view.person(Role::Deceased).unwrap();
        (deceased.nid.clone(), view.event_details.date.clone())
    };
    let day = "deceased.dateOfDeath = death.deathEvent.death-event-details.day";
    assert_eq!(with(day), (None, Some("2026-11-01".to_owned())));
    assert_eq!(with("deceased.nid = patient | identifier.NIN").0.as_deref(), Some("CM1234567891"));
    let uin = "deceased.nid = death.deceased.deceased-view-group.uin | identifier.NIN";
    assert_eq!(with(uin).0.as_deref(), Some("4001112223"));
    assert_eq!(with("deceased.nid = none").0, None);
}

#[test]
fn twenty_lists_of_identifiers_have_the_national_id_or_have_not() {
    let id = |kind: &str, value: &str| json!({ "type": { "coding": [{ "code": kind }] }, "value": value });
    let typed = |concept: Value, value: Value| json!({ "type": concept, "value": value });
    let coded = |codes: &[&str]| json!({ "coding": codes.iter().map(|code| json!({ "code": code })).collect::<Vec<_>>() });
    let others = |count: usize| (0..count).map(|n| id(&format!("OTHER_{n}"), "9")).collect::<Vec<_>>();
    for (kind, identifiers, nid) in [
        ("NATIONAL_ID", vec![id("NATIONAL_ID", "7")], Some("7")),
        ("NATIONAL_ID", vec![id("NATIONAL_ID", " 7 ")], Some("7")),
        ("NATIONAL_ID", vec![id("NATIONAL_ID", "007")], Some("007")),
        ("NATIONAL_ID", vec![id("PASSPORT", "P1"), id("NATIONAL_ID", "7")], Some("7")),
        ("NATIONAL_ID", vec![id("NATIONAL_ID", "7"), id("PASSPORT", "P1")], Some("7")),
        ("NATIONAL_ID", vec![id("PASSPORT", "P1")], None),
        ("NATIONAL_ID", vec![id("NIN", "7")], None),
        ("NATIONAL_ID", vec![id("national_id", "7")], None),
        ("NATIONAL_ID", vec![id("NATIONAL_ID", "")], None),
        ("NATIONAL_ID", vec![id("NATIONAL_ID", "7"), id("NATIONAL_ID", "")], Some("7")),
        ("NATIONAL_ID", vec![], None),
        ("NATIONAL_ID", vec![typed(coded(&["NATIONAL_ID"]), json!(7_001_112_223_u64))], Some("7001112223")),
        ("NATIONAL_ID", vec![typed(coded(&["NATIONAL_ID"]), json!({ "id": "7" }))], Some("")),
        ("NATIONAL_ID", vec![typed(coded(&["NATIONAL_ID"]), json!(null))], None),
        ("NATIONAL_ID", vec![typed(coded(&["MR", "NATIONAL_ID"]), json!("7"))], Some("7")),
        ("NATIONAL_ID", vec![typed(json!("NATIONAL_ID"), json!("7"))], None),
        ("NATIONAL_ID", [others(40), vec![id("NATIONAL_ID", "7")]].concat(), Some("7")),
        ("NIN", vec![id("NIN", "CM1")], Some("CM1")),
        ("NIN", vec![id("NATIONAL_ID", "7")], None),
        ("NIN", vec![id("NATIONAL_ID", "7"), id("NIN", "CM1")], Some("CM1")),
        ("UIN", vec![id("UIN", "4001"), id("DECEASED_PATIENT_ENTRY", "x")], Some("4001")),
    ] {
        let mut death = death_with_nin();
        let entries = death["entry"].as_array_mut().unwrap();
        let patient = entries.iter_mut().find(|entry| entry["resource"]["id"] == "p-1").unwrap();
        patient["resource"]["identifier"] = json!(identifiers);
        let Reading { fhir, events, .. } = Reading::default();
        let view =
            read(death.to_string().as_bytes(), &Reading::new(kind.to_owned(), fhir, events)).unwrap().view;
        assert_eq!(view.person(Role::Deceased).unwrap().nid.as_deref(), nid, "{kind} {identifiers:?}");
    }
}

#[test]
fn an_answer_that_a_setting_names_is_found_wherever_it_is_and_whatever_its_type() {
    let fhir = FieldSources::parse(Dialect::Fhir, "deceased.nid = death.deceased.uin").unwrap();
    let reading = Reading::new("NATIONAL_ID".to_owned(), fhir, Reading::default().events);
    for (answer, nid) in [
        (json!({ "valueString": "4001112223" }), Some("4001112223")),
        (json!({ "valueInteger": 4_001_112_223_u64 }), Some("4001112223")),
        (json!({ "valueDecimal": 4.5 }), Some("")),
        (json!({ "valueString": " " }), None),
    ] {
        let mut death = death_with_nin();
        let mut items: Vec<Value> = (0..150)
            .map(|n| json!({ "text": format!("death.other.{n}"), "answer": [{ "valueString": "x" }] }))
            .collect();
        items.push(json!({ "text": "death.deceased.uin", "answer": [answer] }));
        let more =
            json!({ "resource": { "resourceType": "QuestionnaireResponse", "id": "q-2", "item": items } });
        death["entry"].as_array_mut().unwrap().push(more);
        let view = read(death.to_string().as_bytes(), &reading).unwrap().view;
        assert_eq!(view.person(Role::Deceased).unwrap().nid.as_deref(), nid, "{answer}");
        assert!(view.answers.len() <= 101, "{}", view.answers.len());
    }
}

#[test]
fn a_source_after_the_conventional_one_changes_nothing_where_that_has_a_value() {
    let mut death = death_with_nin();
    let entries = death["entry"].as_array_mut().unwrap();
    let patient = entries.iter_mut().find(|entry| entry["resource"]["id"] == "p-1").unwrap();
    let nid = json!([{ "type": { "coding": [{ "code": "NATIONAL_ID" }] }, "value": "7001112223" }]);
    patient["resource"]["name"] = json!([{ "use": "en", "given": ["Ada", "Grace"], "family": "Doe" }]);
    patient["resource"]["deceasedDateTime"] = json!("2026-10-31");
    patient["resource"]["identifier"] = nid;
    let body = death.to_string();
    let view = |reading: &Reading| read(body.as_bytes(), reading).unwrap().view;
    for member in ["name.firstname", "name.middlename", "name.surname", "dob", "gender", "nid", "dateOfDeath"]
    {
        let text = format!("deceased.{member} = patient | death.deathEvent.death-event-details.day");
        let fhir = FieldSources::parse(Dialect::Fhir, &text).unwrap();
        let reading = Reading::new("NATIONAL_ID".to_owned(), fhir, Reading::default().events);
        assert_eq!(view(&reading).persons, view(&Reading::default()).persons, "{text}");
    }
}

#[test]
fn a_person_of_whom_only_an_answer_is_known_is_one_of_the_view() {
    let fhir = FieldSources::parse(Dialect::Fhir, "father.nid = death.father.nin").unwrap();
    let reading = Reading::new("NATIONAL_ID".to_owned(), fhir, Reading::default().events);
    let father = |answer: &str| {
        let mut death = death_with_nin();
        let item = json!({ "text": "death.father.nin", "answer": [{ "valueString": answer }] });
        let more =
            json!({ "resource": { "resourceType": "QuestionnaireResponse", "id": "q-2", "item": [item] } });
        death["entry"].as_array_mut().unwrap().push(more);
        let view = read(death.to_string().as_bytes(), &reading).unwrap().view;
        view.persons.get(&Role::Father).map(|father| father.nid.clone())
    };
    assert_eq!(father("CM1234567891"), Some(Some("CM1234567891".to_owned())));
    assert_eq!(father(" "), None);
}
