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
