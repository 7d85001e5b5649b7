//! What an answer changes in a bundle, and that nothing else changes.

use proptest::prelude::{any, proptest};

use super::*;
use crate::opencrvs::fhir::tests::bundle;

fn amendment() -> Amendment {
    Amendment {
        kind: EventKind::Birth,
        number: RegistrationNumber::parse("2026BXXDBIC").unwrap(),
        identifier: Some(("NATIONAL_ID".to_owned(), NationalId::parse("9876543210").unwrap())),
    }
}

#[test]
fn an_answer_changes_only_the_task_and_the_child() {
    let came = serde_json::to_string_pretty(&bundle()).unwrap();
    let amended = String::from_utf8(amend(came.as_bytes(), &amendment()).unwrap()).unwrap();
    let (before, after): (Value, Value) =
        (serde_json::from_str(&came).unwrap(), serde_json::from_str(&amended).unwrap());
    let entries = |bundle: &Value| bundle["entry"].as_array().unwrap().clone();
    let changed: Vec<(Value, Value)> =
        entries(&before).into_iter().zip(entries(&after)).filter(|(before, after)| before != after).collect();
    let [(_, task), (_, child)] = changed.as_slice() else { panic!("{changed:?}") };
    assert_eq!(
        task["resource"]["identifier"][1],
        json!({ "system": "http://opencrvs.org/specs/id/birth-registration-number", "value": "2026BXXDBIC" })
    );
    let of = |code: &str, value: &str| {
        let coding = json!([{ "system": "http://opencrvs.org/specs/identifier-type", "code": code }]);
        json!({ "type": { "coding": coding }, "value": value })
    };
    assert_eq!(
        child["resource"]["identifier"],
        json!([of("BIRTH_REGISTRATION_NUMBER", "2026BXXDBIC"), of("NATIONAL_ID", "9876543210")])
    );
    // The layout is unchanged, except for the two lines that were rewritten.
    let lines: std::collections::BTreeSet<&str> = came.lines().collect();
    assert_eq!(amended.lines().filter(|line| !lines.contains(line)).count(), 2, "{amended}");
}

#[test]
fn an_existing_answer_is_replaced_and_a_death_gets_no_id() {
    let came = bundle().to_string();
    let once = amend(came.as_bytes(), &amendment()).unwrap();
    assert_eq!(amend(&once, &amendment()).unwrap(), once);
    let death = Amendment { kind: EventKind::Death, ..amendment() };
    let died = came.replace("child-details", "deceased-details");
    let amended = String::from_utf8(amend(died.as_bytes(), &death).unwrap()).unwrap();
    for number in ["death-registration-number", "DEATH_REGISTRATION_NUMBER"] {
        assert!(amended.contains(number), "{number}");
    }
    assert!(!amended.contains("9876543210"));
    for nothing in ["", "[]", "{}", r#"{"resourceType":"Bundle","entry":[]}"#] {
        assert_eq!(amend(nothing.as_bytes(), &amendment()), None, "{nothing}");
    }
}

/// A child with a photo, as long as a resource may be that is amended, or one byte longer.
#[test]
fn a_resource_that_is_too_long_is_returned_unchanged() {
    for (length, is_amended) in [(LONGEST, true), (LONGEST + 1, false)] {
        let mut bundle = bundle();
        let child = &mut bundle["entry"][4]["resource"];
        child["photo"] = json!("");
        child["photo"] = json!("x".repeat(length - child.to_string().len()));
        assert_eq!(child.to_string().len(), length);
        let amended = amend(bundle.to_string().as_bytes(), &amendment()).unwrap();
        let amended: Value = serde_json::from_slice(&amended).unwrap();
        assert_eq!(amended["entry"][4]["resource"].get("identifier").is_some(), is_amended, "{length}");
        assert_eq!(amended["entry"][3]["resource"]["identifier"][1]["value"], "2026BXXDBIC", "{length}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_an_amendment_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(amend(&body, &amendment()));
    }
}
