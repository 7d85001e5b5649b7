//! FHIR bundles: documents of the simulated OpenCRVS in which any part is removed, replaced or
//! damaged.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nidbridge::domain::View;
use nidbridge::opencrvs::{Reading, fhir};
use nidbridge::sandbox::population::{AttemptFacts, Kind, Mix, Population};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::checks::bundle::{check, key, request};
use super::{pointers, remove};

const NAMES: [&str; 12] = [
    "resource",
    "resourceType",
    "Patient",
    "Bundle",
    "entry",
    "extension",
    "valueReference",
    "coding",
    "code",
    "identifier",
    "name",
    "NATIONAL_ID",
];

fn document(index: u64) -> Value {
    let mix = Mix { deaths: 0.4, marriages: 0.1, register_path: 0.5, ..Mix::default() };
    let facts = AttemptFacts { last_modified: "2026-01-05T10:00:00.000Z".to_owned(), earlier: Vec::new() };
    Population::new(11, mix).declaration(index).bundle(&facts)
}

fn asked_of(document: &Value) -> Vec<(String, String)> {
    check(document.to_string().as_bytes()).map(|read| request(&read)).unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_document_with_anything_replaced_is_read_or_refused(
        index in 0_u64..40,
        edits in proptest::collection::vec((any::<Index>(), super::json(&NAMES)), 1..6),
    ) {
        let mut document = document(index);
        for (place, value) in edits {
            let all = pointers(&document);
            if let Some(hit) = document.pointer_mut(place.get::<String>(&all)) {
                *hit = value;
            }
        }
        check(document.to_string().as_bytes());
    }

    #[test]
    fn damaged_text_is_read_or_refused(
        index in 0_u64..40,
        edits in proptest::collection::vec((any::<Index>(), proptest::collection::vec(any::<u8>(), 0..4), 0_usize..40), 1..4),
    ) {
        let mut text = document(index).to_string().into_bytes();
        for (place, new, old) in edits {
            let at = place.index(text.len());
            let end = (at + old).min(text.len());
            text.splice(at..end, new);
        }
        check(&text);
    }

    /// A missing part of the document makes the request smaller, or there is no request.
    #[test]
    fn a_missing_member_never_adds_to_the_request(
        index in 0_u64..40,
        gone in proptest::collection::vec(any::<Index>(), 1..4),
    ) {
        let mut document = document(index);
        let before = asked_of(&document);
        let mut taken = Vec::new();
        for place in gone {
            let all: Vec<String> = pointers(&document);
            let place = place.get(&all).clone();
            // The exception is a person without any data, who is treated as absent.
            if !place.ends_with("/active") {
                remove(&mut document, &place);
                taken.push(place);
            }
        }
        let places = |asked: &[(String, String)]| asked.iter().map(|(place, _)| place.clone()).collect::<BTreeSet<_>>();
        let after = asked_of(&document);
        prop_assert!(places(&after).is_subset(&places(&before)), "{taken:?}: {before:?} {after:?}");
        // No other value takes its place, except that a missing name is taken from the next
        // language.
        let words = |asked: &[(String, String)]| -> BTreeSet<String> {
            let told = asked.iter().filter(|(place, _)| !place.contains("/name/"));
            told.flat_map(|(_, text)| text.split(' ')).map(str::to_owned).collect()
        };
        prop_assert!(words(&after).is_subset(&words(&before)), "{taken:?}: {before:?} {after:?}");
    }

    #[test]
    fn an_attempt_is_identified_by_record_and_time_alone(index in 0_u64..40, edit in any::<Index>(), value in super::json(&NAMES)) {
        let mut other = document(index);
        let all = pointers(&other);
        *other.pointer_mut(edit.get::<String>(&all)).unwrap() = value;
        let one = check(document(index).to_string().as_bytes()).unwrap();
        if let Some(two) = check(other.to_string().as_bytes()) {
            let same = (&one.record, &one.mark) == (&two.record, &two.mark);
            prop_assert_eq!(key(&one).id() == key(&two).id(), same);
        }
    }
}

#[test]
fn no_output_about_a_document_names_a_person() {
    for index in 0..40 {
        let read = check(document(index).to_string().as_bytes()).unwrap();
        let shown = format!("{read:?}");
        let view = serde_json::to_value(&read.view).unwrap();
        let persons = ["child", "deceased", "mother", "father", "spouse", "bride", "groom", "informant"];
        let named = persons.iter().filter_map(|role| view.get(role)).flat_map(|person| {
            pointers(person).into_iter().filter_map(|at| person.pointer(&at)?.as_str().map(str::to_owned))
        });
        // Shorter texts are codes such as `en`, and those of the office are no personal data.
        for text in named.filter(|text| text.len() > 6 && !text.contains("ADMIN_STRUCTURE")) {
            assert!(!shown.contains(&text), "{text} in {shown}");
        }
    }
}

#[test]
fn the_time_for_a_body_grows_only_with_its_length() {
    let deep = format!("{}1{}", r#"{"extension":["#.repeat(60_000), "]}".repeat(60_000));
    let circle: Vec<Value> = (0..3_000)
        .map(|number| {
            json!({ "resource": { "resourceType": "Location", "id": format!("l-{number}"),
            "partOf": { "reference": format!("Location/l-{}", (number + 1) % 3_000) } } })
        })
        .collect();
    let base = document(1);
    let mut far = base.clone();
    far["entry"].as_array_mut().unwrap().extend(circle);
    let text = base.to_string();
    let odd = [
        text.replacen(r#""gender":"#, &format!(r#""gender":{deep},"was":"#), 1),
        text.replacen(r#""entry":["#, &format!(r#""entry":[{deep},"#), 1),
        text.replacen(r#""birthDate":"#, &format!(r#""birthDate":"{}","was":"#, "9".repeat(1 << 20)), 1),
        far.to_string(),
        "[".repeat(1 << 20),
        format!(r#"{{"resourceType":"Bundle","entry":[{}]}}"#, vec!["{}"; 300_000].join(",")),
    ];
    for body in odd {
        let begun = Instant::now();
        check(body.as_bytes());
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(30), "{} bytes took {took:?}", body.len());
    }
}

#[test]
fn the_largest_possible_view_is_bounded() {
    let long = |letter: char| letter.to_string().repeat(256);
    let mut document = document(1);
    for pointer in pointers(&document) {
        let Some(place) = document.pointer_mut(&pointer) else { continue };
        if pointer.contains("/name") && place.is_array() {
            let name = |number: usize| json!({ "use": format!("{number:0>250}"), "given": [long('𝕒'), long('𝕓')], "family": long('𝕔') });
            *place = (0..100).map(name).collect();
        }
    }
    let read = fhir::read(document.to_string().as_bytes(), &Reading::default()).unwrap();
    let text = serde_json::to_string(&read.view).unwrap();
    assert!(text.len() > 50_000, "the document did not grow");
    assert!(text.len() < 1024 * 1024, "{}", text.len());
    assert_eq!(serde_json::from_str::<View>(&text).unwrap(), read.view);
}

#[test]
fn a_birth_and_a_death_are_asked_about_and_a_marriage_is_not() {
    let mut seen = BTreeSet::new();
    for index in 0..200 {
        let mix = Mix { deaths: 0.4, marriages: 0.1, register_path: 0.5, ..Mix::default() };
        let kind = Population::new(11, mix).declaration(index).kind;
        let asked = !asked_of(&document(index)).is_empty();
        assert!(asked || kind != Kind::Birth, "{index}");
        assert!(!(asked && kind == Kind::Marriage), "{index}");
        seen.insert((kind.name(), asked));
    }
    // Some of the deceased have an ID, some have none.
    assert_eq!(seen.len(), 4, "{seen:?}");
}
