//! Whether the requests about a record, its number, its ID and its fields are those of its person.
//!
//! Invariant: what should be there comes from the population, from the first request and from the
//! first ID that the ID system sent. Neither the ledger nor a mapping of the bridge is asked.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::request_id;
use crate::sandbox::nid::NidState;
use crate::sandbox::opencrvs::{Attempt, Confirmed, Record};
use crate::sandbox::population::{Declaration, Kind};

/// A name may say which language it is in.
const LANGUAGE: &str = "lang";

/// Every value of a record that is not that of its person.
pub fn content_faults(family: &Declaration, record: &Record, nid: &NidState) -> Vec<String> {
    let Some(request) = request_id(&family.record, record.kind) else {
        return vec!["it has no record id".to_owned()];
    };
    let mut faults = Vec::new();
    for (submission, content) in nid.contents.get(&request).into_iter().flatten() {
        if let Some(fault) = request_fault(record, family, content) {
            faults.push(format!("request of submission {submission}: {fault}"));
        }
    }
    let mut numbers: BTreeSet<&str> = nid.numbers.get(&request).map(String::as_str).into_iter().collect();
    numbers.extend(record.confirms.iter().map(|confirmed| confirmed.number.as_str()));
    let asked = nid.contents.get(&request).into_iter().flat_map(|submissions| submissions.values());
    numbers.extend(asked.filter_map(|content| content.pointer("/registration/number")?.as_str()));
    if numbers.len() > 1 {
        faults.push(format!("it has had several numbers: {numbers:?}"));
    }
    let issued = nid.issued.get(&request).filter(|_| record.kind == Kind::Birth);
    faults.extend(record.confirms.iter().filter_map(|confirmed| confirm_fault(confirmed, issued)));
    if let Some(file) = &record.event {
        let written: Vec<Value> = file.written().into_iter().map(|(_, value)| value).collect();
        let due: Vec<Value> =
            issued.filter(|_| !written.is_empty()).cloned().map(Value::from).into_iter().collect();
        if written != due {
            faults.push(format!("fields were written that are not the ID {issued:?}"));
        }
    }
    faults
}

/// A confirm of a birth carries the ID that was issued first, and any other confirm carries none.
fn confirm_fault(confirmed: &Confirmed, issued: Option<&String>) -> Option<String> {
    let due: Vec<(String, String)> =
        issued.map(|id| ("NATIONAL_ID".to_owned(), id.clone())).into_iter().collect();
    (confirmed.identifiers != due)
        .then(|| format!("confirmed with {:?} instead of {due:?}", confirmed.identifiers))
}

/// What is wrong with a request, compared with each submission that it may be about.
fn request_fault(record: &Record, family: &Declaration, content: &Value) -> Option<String> {
    let with_places = record.event.is_none();
    let due = |attempt: &Attempt| family.request(attempt.corrected.as_deref(), with_places);
    let given = |path: &str| content.pointer(path).unwrap_or(&Value::Null);
    let agrees = |due: &Value| {
        let of = |name: &str| due.get(name).unwrap_or(&Value::Null);
        same(of("subject"), given("/subject"))
            && same(of("parents"), none_if_empty(given("/parents")))
            && (!with_places || of("office_code") == given("/registration/office_code"))
    };
    let all: Vec<Value> = record.attempts.iter().filter_map(due).collect();
    if all.is_empty() {
        return Some("the ID system is not to be asked".to_owned());
    }
    if !all.iter().any(agrees) {
        return Some(format!("{content} instead of {}", all.last().unwrap_or(&Value::Null)));
    }
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let days = record.attempts.iter().flat_map(|attempt| [Some(attempt.at), attempt.answered]);
    let days: BTreeSet<String> = days.flatten().map(day).collect();
    let registered_on = given("/registration/registered_on").as_str().unwrap_or_default();
    (!days.contains(registered_on)).then(|| format!("registered on {registered_on:?} instead of {days:?}"))
}

fn none_if_empty(value: &Value) -> &Value {
    if value.as_array().is_some_and(Vec::is_empty) { &Value::Null } else { value }
}

/// Whether two values are the same, except that the second one may name the language of a name.
fn same(due: &Value, given: &Value) -> bool {
    match (due, given) {
        (Value::Object(due), Value::Object(given)) => {
            let known = |name: &String| name == LANGUAGE || due.contains_key(name);
            given.keys().all(known)
                && due.iter().all(|(name, due)| same(due, given.get(name).unwrap_or(&Value::Null)))
        }
        (due, given) => none_if_empty(due) == given,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::*;
    use crate::sandbox::opencrvs::{OpencrvsSettings, OpencrvsSim, SubmitOptions};
    use crate::sandbox::population::{Mix, Population};

    /// A birth with both parents, and the record that a submission left in OpenCRVS.
    async fn submitted() -> (Declaration, Record) {
        let births = Mix { deaths: 0.0, marriages: 0.0, ..Mix::default() };
        let has_parents = |family: &Declaration| {
            let request = family.request(None, true).unwrap_or_default();
            request["parents"].as_array().is_some_and(|parents| parents.len() == 2)
        };
        let family = Population::new(7, births).find(has_parents).unwrap();
        let sim = OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap();
        // Nothing listens at the discard port.
        let nowhere = Url::parse("http://127.0.0.1:9/").unwrap();
        sim.submit(&family, &nowhere, SubmitOptions::default()).await.unwrap();
        let record = sim.record(&family.record).unwrap();
        (family, record)
    }

    fn asked(family: &Declaration, record: &Record, change: impl FnOnce(&mut Value)) -> NidState {
        let due = family.request(None, true).unwrap();
        let mut content = json!({
            "registration": {
                "number": "2026B1", "office_code": due["office_code"],
                "registered_on": record.attempts[0].at.strftime("%Y-%m-%d").to_string()
            },
            "subject": due["subject"], "parents": due["parents"]
        });
        change(&mut content);
        let request = request_id(&family.record, record.kind).unwrap();
        NidState {
            contents: [(request.clone(), [(1, content)].into())].into(),
            numbers: [(request, "2026B1".to_owned())].into(),
            ..NidState::default()
        }
    }

    #[tokio::test]
    async fn a_request_with_the_facts_of_somebody_else_is_a_fault() {
        let (family, record) = submitted().await;
        let faults = |change: &dyn Fn(&mut Value)| {
            content_faults(&family, &record, &asked(&family, &record, change)).len()
        };
        assert_eq!(faults(&|_| {}), 0);
        assert_eq!(faults(&|content| content["subject"]["name"]["lang"] = json!("en")), 0);
        let swapped = |content: &mut Value| {
            let mother = content["parents"][0]["national_id"].take();
            content["parents"][0]["national_id"] = content["parents"][1]["national_id"].take();
            content["parents"][1]["national_id"] = mother;
        };
        assert_eq!(faults(&swapped), 1);
        let changes: [(&str, Value); 6] = [
            ("/subject/name/given", json!("Nobody")),
            ("/subject/date_of_birth", json!("1999-01-01")),
            ("/subject/place_of_birth/0", json!("ADMIN_STRUCTURE_x")),
            ("/parents", json!([])),
            ("/registration/office_code", json!("CRVS_OFFICE_x")),
            ("/registration/registered_on", json!("1999-01-01")),
        ];
        for (path, other) in changes {
            assert_eq!(faults(&|content| *content.pointer_mut(path).unwrap() = other.clone()), 1, "{path}");
        }
        let phone = |content: &mut Value| content["subject"]["phone"] = json!("0700");
        assert_eq!(faults(&phone), 1, "a member that the contract does not name");
        assert_eq!(faults(&|content| content["registration"]["number"] = json!("2026B1-2")), 1);
    }
}
