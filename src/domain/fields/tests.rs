use proptest::prelude::{ProptestConfig, any, proptest};
use serde_json::json;

use super::*;
use crate::domain::{NationalId, Reason, ReasonCode};

const EXAMPLE: &str = r#"birth: child.nid = id, child.idType = "NATIONAL_ID"; death: deceased.nidStatus = "closed" when recorded"#;

fn mapping(text: &str) -> FieldMapping {
    FieldMapping::parse(text).unwrap()
}

fn fault(text: &str) -> (usize, MappingFault) {
    let UnusableMapping { at, fault } = FieldMapping::parse(text).unwrap_err();
    (at, fault)
}

fn issued(id: &str) -> Answer {
    Answer::Issued(NationalId::parse(id).unwrap())
}

fn written(mapping: &FieldMapping, kind: &str, answer: &Answer) -> Value {
    let (kind, number) = (EventKind::from_name(kind), RegistrationNumber::parse("2026B1").unwrap());
    let fields = mapping.evaluate(&kind, answer, &number);
    let names: Vec<&str> = mapping.names(&kind, answer).collect();
    assert_eq!(fields.is_empty(), names.is_empty(), "{names:?}");
    assert_eq!(names.len(), fields.0.len(), "every named field is written: {names:?} {fields:?}");
    assert!(names.iter().all(|name| fields.0.contains_key(*name)), "{names:?} {fields:?}");
    serde_json::to_value(fields).unwrap()
}

#[test]
fn each_kind_writes_its_own_fields_for_its_own_answers() {
    let mapping = mapping(EXAMPLE);
    let nid = json!({ "child.nid": "8031687218", "child.idType": "NATIONAL_ID" });
    assert_eq!(written(&mapping, "birth", &issued("8031687218")), nid);
    assert_eq!(written(&mapping, "birth", &Answer::Recorded), json!({}), "the type goes with the ID");
    assert_eq!(written(&mapping, "DEATH", &Answer::Recorded), json!({ "deceased.nidStatus": "closed" }));
    assert_eq!(written(&mapping, "death", &issued("1")), json!({}));
    assert_eq!(written(&mapping, "marriage", &issued("1")), json!({}));
    let no = Answer::Rejected(Reason::of(ReasonCode::Policy));
    for kind in ["birth", "death"] {
        for answer in [&no, &Answer::NotAsked] {
            assert_eq!(written(&mapping, kind, answer), json!({}));
        }
    }
}

#[test]
fn a_list_without_an_id_is_written_whenever_the_id_system_answered() {
    let mapping = mapping("death: deceased.nidActive = false, deceased.brn = number, deceased.nid = null");
    let all = json!({ "deceased.nidActive": false, "deceased.brn": "2026B1", "deceased.nid": null });
    for answer in [Answer::Recorded, issued("1")] {
        assert_eq!(written(&mapping, "death", &answer), all);
    }
    assert_eq!(written(&mapping, "death", &Answer::NotAsked), json!({}));
}

#[test]
fn a_field_may_have_another_value_for_another_answer() {
    let mapping = mapping("*: a = id, a = null when recorded, b = 1.5 when answered");
    assert_eq!(written(&mapping, "x", &issued("1")), json!({ "a": "1", "b": 1.5 }));
    assert_eq!(written(&mapping, "x", &Answer::Recorded), json!({ "a": null, "b": 1.5 }));
}

#[test]
fn the_largest_number_that_core_does_not_round_is_written() {
    for number in [9_007_199_254_740_991_i64, -9_007_199_254_740_991] {
        let mapping = mapping(&format!("*: a = {number}"));
        assert_eq!(written(&mapping, "x", &Answer::Recorded), json!({ "a": number }));
    }
}

#[test]
fn an_id_is_always_written_as_a_text() {
    for id in ["0012", "1e5", "true", "null", r#"a"b\"#, "12345678901234567890123"] {
        assert_eq!(written(&mapping("*: f = id"), "birth", &issued(id)), json!({ "f": id }));
    }
}

#[test]
fn the_list_for_all_other_kinds_is_not_added_to_that_of_a_named_one() {
    let mapping = mapping(r#"*: a = id ; birth : "b c" = id;"#);
    assert_eq!(written(&mapping, "birth", &issued("1")), json!({ "b c": "1" }));
    assert_eq!(written(&mapping, "death", &issued("1")), json!({ "a": "1" }));
    assert_eq!(
        written(&FieldMapping::identifier("a".to_owned()), "tennis-club", &issued("1")),
        json!({ "a": "1" })
    );
}

#[test]
fn a_mapping_that_cannot_be_read_is_refused_with_its_place() {
    for (text, at, expected) in [
        ("", 1, MappingFault::NoKind),
        (" ; ", 2, MappingFault::NoKind),
        ("child.nid = id", 1, MappingFault::NoKind),
        ("child.nid", 1, MappingFault::NoKind),
        ("birth:", 7, MappingFault::NoName),
        ("birth: ; death: a = id", 8, MappingFault::NoName),
        ("birth: a = id,", 15, MappingFault::NoName),
        ("birth: 'a' = id", 8, MappingFault::NoName),
        (r#"birth: "" = id"#, 10, MappingFault::NoName),
        (r#"birth: "a\nb" = id"#, 14, MappingFault::NoName),
        ("birth: child nid = id", 14, MappingFault::NoEquals),
        ("birth: a", 9, MappingFault::NoEquals),
        ("birth: a =", 11, MappingFault::NoValue),
        ("birth: a = 'x'", 12, MappingFault::NoValue),
        ("birth: a = ID", 12, MappingFault::NoValue),
        ("birth: a = 007", 12, MappingFault::NoValue),
        ("birth: a = [1]", 12, MappingFault::NoValue),
        ("birth: a = 9007199254740993", 12, MappingFault::RoundedNumber),
        ("birth: a = 12345678901234567890123", 12, MappingFault::RoundedNumber),
        (r#"birth: a = "x"#, 12, MappingFault::BrokenText),
        (r#"birth: a = "\x""#, 12, MappingFault::BrokenText),
        ("birth: a = id b = id", 15, MappingFault::NoEnd),
        ("birth: a = 1 when", 18, MappingFault::NoCondition),
        ("birth: a = 1 when rejected", 19, MappingFault::NoCondition),
        ("birth: a = id when recorded", 8, MappingFault::IdNotIssued),
        ("birth: a = id when answered", 8, MappingFault::IdNotIssued),
        ("birth: a = 1 =", 14, MappingFault::NoEnd),
        ("birth: a = id; BIRTH: b = id", 16, MappingFault::KindTwice),
        ("*: a = id; *: b = id", 12, MappingFault::KindTwice),
        ("birth: a = id, a = null", 16, MappingFault::FieldTwice),
        ("birth: a = null, a = 1 when issued", 18, MappingFault::FieldTwice),
        ("é: a = \"ü\" ü", 12, MappingFault::NoEnd),
    ] {
        assert_eq!(fault(text), (at, expected), "{text}");
    }
}

#[test]
fn a_mapping_is_shown_with_its_conditions_and_read_back() {
    let shown = r#"birth: child.nid = id when issued, child.idType = "NATIONAL_ID" when issued; death: deceased.nidStatus = "closed" when recorded"#;
    assert_eq!(mapping(EXAMPLE).to_string(), shown);
    for text in [EXAMPLE, r#"*: "a \"b\"" = "\";,", b=-1.5, c=true when answered"#, "x:\n a\t= number"] {
        let mapping = mapping(text);
        assert_eq!(FieldMapping::parse(&mapping.to_string()), Ok(mapping));
    }
}

#[test]
fn a_field_that_the_forms_lack_is_reported_with_its_kind_of_event() {
    let form = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect::<BTreeSet<_>>();
    let forms = Forms::from([
        ("birth".to_owned(), form(&["child.nid"])),
        ("death".to_owned(), form(&["a"])),
        ("marriage".to_owned(), form(&["b"])),
    ]);
    let missing = |text: &str| {
        let missing: Vec<String> = mapping(text).missing(&forms).iter().map(ToString::to_string).collect();
        missing.join(", ")
    };
    assert_eq!(missing("birth: child.nid = id; death: a = 1; *: b = null"), "");
    assert_eq!(missing("*: child.nid = id"), "", "one form is enough");
    assert_eq!(
        missing("birth: child.nid = id, child.idType = 1; death: child.nid = null, a = 1"),
        "`child.idType` in the form of `birth`, `child.nid` in the form of `death`"
    );
    assert_eq!(
        missing("brith: child.nid = id"),
        "`child.nid` of `brith`, a kind of event that the country does not have"
    );
    assert_eq!(missing("birth: child.nid = id; *: child.nid = id"), "`child.nid` in any form");
}

#[test]
fn debug_output_hides_the_values_of_written_fields() {
    let (kind, number) = (EventKind::Birth, RegistrationNumber::parse("2026B1").unwrap());
    let fields = mapping("*: a = id").evaluate(&kind, &issued("8031687218"), &number);
    assert_eq!(format!("{fields:?}"), r#"{"a"}"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read_back_or_refused(text in any::<String>(), name in ".{1,12}", value in any::<String>()) {
        let made = format!("{}: {} = {}", Value::from("k"), Value::from(name), Value::from(value));
        for text in [text, made] {
            if let Ok(mapping) = FieldMapping::parse(&text) {
                assert_eq!(FieldMapping::parse(&mapping.to_string()), Ok(mapping));
            }
        }
    }
}
