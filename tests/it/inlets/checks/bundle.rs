//! Properties of every body of `POST /event-registration`.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan as _};
use nidbridge::domain::{AttemptKey, Dialect, NationalId, RegistrationNumber, RequestId, View};
use nidbridge::nid::{Ask, Facts, ask};
use nidbridge::opencrvs::{Document, Reading, fhir};
use serde_json::Value;

/// In bytes. A view is sealed, published and kept, so it must not grow with the body.
const LARGEST_VIEW: usize = 1024 * 1024;

/// Reads the body as the front does, and makes the request to the ID system from it.
pub fn check(body: &[u8]) -> Option<Document> {
    let read = fhir::read(body, &Reading::default());
    assert_eq!(read, fhir::read(body, &Reading::default()), "the same body is read in the same way");
    let document = match read {
        Ok(document) => document,
        Err(refusal) => {
            assert!(format!("{refusal} {refusal:?}").len() < 256);
            return None;
        }
    };
    assert_eq!(
        document.mark.parse().ok(),
        Some(document.stamp),
        "the time of the attempt is what is written"
    );
    assert_eq!(document.office, document.view.office.code);
    assert_eq!(key(&document).id(), key(&document).id());
    let view = serde_json::to_vec(&document.view).expect("a view is JSON");
    assert!(view.len() <= LARGEST_VIEW, "a view of {} bytes", view.len());
    let opened: View = serde_json::from_slice(&view).expect("what was sealed is read again");
    assert_eq!(serde_json::to_vec(&opened).ok(), Some(view), "a view is the same after it was sealed");
    let mut known = BTreeSet::new();
    texts(&serde_json::to_value(&opened).expect("JSON"), &mut known);
    for (place, text) in request(&document) {
        leaves_by_right(&place, &text, &known);
    }
    Some(document)
}

/// Each text of the request to the ID system with its JSON pointer; none if the ID system is not
/// asked.
pub fn request(document: &Document) -> Vec<(String, String)> {
    let number = RegistrationNumber::parse("NUMBER").expect("a number");
    // After every day in the documents, because a day that is yet to come is refused.
    let now: Timestamp = "2026-01-05T10:00:00Z".parse().expect("a time");
    let facts = Facts {
        request: RequestId::of(&document.record, &document.kind),
        submission: 1,
        kind: &document.kind,
        number: &number,
        office: document.office.as_deref(),
        accepted_at: now,
        registered_on: now.to_zoned(jiff::tz::TimeZone::UTC).date(),
        expires_at: now + 7.hours(),
        source: "/source",
    };
    let asked = ask(&facts, &document.view);
    assert_eq!(asked, ask(&facts, &document.view), "a repeat is a repeat");
    let Ask::Request(request) = asked else { return Vec::new() };
    let request: Value = serde_json::from_slice(&request.body).expect("a request is JSON");
    let mut found = Vec::new();
    places("", &request, &mut found);
    found
}

pub fn key(document: &Document) -> AttemptKey {
    AttemptKey {
        dialect: Dialect::Fhir,
        record: document.record.clone(),
        mark: document.mark.clone(),
        stamp: document.stamp,
    }
}

/// Checks that text of the document occurs only in the members that the contract has for it.
fn leaves_by_right(place: &str, text: &str, known: &BTreeSet<String>) {
    let words: &[&str] = match place {
        "/specversion"
        | "/id"
        | "/source"
        | "/type"
        | "/time"
        | "/datacontenttype"
        | "/data/submission"
        | "/data/expires_at"
        | "/data/registration/number"
        | "/data/subject/name/lang"
        | "/data/registration/registered_on" => return,
        "/data/parents/mother/role" | "/data/parents/father/role" | "/data/subject/sex" => {
            &["mother", "father", "male", "female", "other", "unknown"]
        }
        // Joined from two or three names, or cut to the day.
        "/data/subject/name/full" | "/data/subject/name/given" => {
            let all: Vec<&str> = known.iter().map(|name| name.trim()).collect();
            assert!(
                text.is_empty() || all.iter().any(|name| !name.is_empty() && text.contains(name)),
                "{place}"
            );
            return;
        }
        "/data/subject/date_of_birth" | "/data/subject/date_of_death" => {
            assert_eq!(text.len(), 10, "{place}");
            return;
        }
        "/data/subject/national_id"
        | "/data/parents/mother/national_id"
        | "/data/parents/father/national_id" => {
            let is_it = |known: &String| NationalId::from_form(known).is_ok_and(|id| id.expose() == text);
            assert!(known.iter().any(is_it), "{place}");
            return;
        }
        "/data/subject/name/family" | "/data/registration/office_code" => &[],
        place if place.starts_with("/data/subject/place_of_birth/") => &[],
        place => panic!("{place} is not in the contract"),
    };
    assert!(words.contains(&text) || known.iter().any(|known| known.trim() == text), "{place}");
}

fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => members.values().for_each(|member| texts(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Parents are identified by their role, not by their position in the list.
fn places(above: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| places(&format!("{above}/{name}"), member, found));
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                let name = item["role"].as_str().map_or_else(|| number.to_string(), str::to_owned);
                places(&format!("{above}/{name}"), item, found);
            }
        }
        Value::String(text) => found.push((above.to_owned(), text.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) => found.push((above.to_owned(), value.to_string())),
    }
}
