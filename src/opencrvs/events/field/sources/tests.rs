use serde_json::{Value, json};

use super::super::tests::{answers, service};
use super::*;
use crate::domain::{EventKind, FieldPath};

/// The configuration of an event with these fields, and with this date.
fn event(kind: &str, fields: &[&str], date: &Value) -> Value {
    let fields: Vec<Value> = fields.iter().map(|id| json!({ "id": id, "type": "TEXT" })).collect();
    json!({ "id": kind, "declaration": { "pages": [{ "fields": fields }] }, "dateOfEvent": date })
}

const CHILD: [&str; 3] = ["child.name", "child.dob", "child.gender"];

#[tokio::test]
async fn a_member_that_the_form_lacks_is_reported() {
    let (country, settings) = service().await;
    let check = SourceCheck::new(&settings, Reading::default()).unwrap();
    assert_eq!(check.missing().await, Err(FormsFault::NotFound));
    answers(&country, "/config/events", 200, &json!([event("birth", &CHILD, &Value::Null)]));
    assert_eq!(check.missing().await, Ok(Vec::new()));
    answers(&country, "/config/events", 200, &json!([event("birth", &CHILD[1..], &Value::Null)]));
    let missing: Vec<String> = check.missing().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["`child.name` is read from `child.name`, which the form of `birth` does not have"]);
}

#[tokio::test]
async fn the_field_with_the_date_of_an_event_is_learned_from_its_configuration() {
    let (country, settings) = service().await;
    let reading = Reading::default();
    let check = SourceCheck::new(&settings, reading.clone()).unwrap();
    let path = |field: &str, parts: &[&str]| {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        Some(FieldPath { field: field.to_owned(), parts })
    };
    for (date, learned) in [
        (json!({ "$$field": "child.bornOn" }), path("child.bornOn", &[])),
        (
            json!({ "$$field": "child.born", "$$subfield": ["on", 7, "day"] }),
            path("child.born", &["on", "day"]),
        ),
        (json!({ "$$field": "child.born", "$$subfield": "on" }), path("child.born", &[])),
        (json!({ "$$field": "" }), None),
        (json!({ "$$field": 7 }), None),
        (json!({ "$$event": "createdAt" }), None),
        (json!("child.bornOn"), None),
        (json!(null), None),
    ] {
        answers(&country, "/config/events", 200, &json!([event("birth", &CHILD, &date)]));
        assert_eq!(check.missing().await, Ok(Vec::new()));
        assert_eq!(reading.date_of(&EventKind::Birth), learned, "{date}");
        assert_eq!(reading.date_of(&EventKind::Death), None);
    }
}
