use serde_json::json;

use super::*;

fn cost(text: &str) -> usize {
    let mut budget = Budget::bytes(MOST);
    budget.build(text).unwrap();
    MOST - budget.left()
}

#[test]
fn what_fits_is_built_as_serde_json_builds_it() {
    for text in [
        "null",
        " true ",
        "-5",
        "18446744073709551615",
        "1e5",
        "1.0",
        r#""a\u0000\n\ud83d\ude00""#,
        "[]",
        "{}",
        "[1,2,3,4,5,6]",
        r#"{"b":1,"a":{"c":[null]},"b":2}"#,
        "\"  \"",
    ] {
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Budget::of(0).build(text), Ok(expected.clone()), "{text}");
        assert_eq!(Budget::of(0).build_short(text), Ok(expected), "{text}");
    }
    let deep = "[".repeat(128);
    for text in ["", "{", "nul", "[1,]", "1e999", r#""\ud800""#, "1 2", r#"{"a"}"#, &deep, "[}"] {
        assert_eq!(Budget::of(0).build(text), Err(Unbuilt::NotJson), "{text}");
    }
}

#[test]
fn each_value_is_charged_with_what_it_takes() {
    assert_eq!(cost("[0]"), LIST);
    assert_eq!(cost("[0,0,0,0]"), LIST);
    assert_eq!(cost("[0,0,0,0,0]"), LIST + ELEMENT);
    assert_eq!(cost(r#"{"":0}"#), MAP);
    assert_eq!(cost(r#"{"ab":"cde"}"#), MAP + 2 + TEXT + 3 + TEXT);
    let members = |count: usize| {
        let members: Vec<String> = (10..10 + count).map(|n| format!(r#""{n}":0"#)).collect();
        cost(&format!("{{{}}}", members.join(",")))
    };
    assert_eq!(members(11), MAP + 11 * (2 + TEXT));
    assert_eq!(members(13), MAP + 13 * (2 + TEXT) + 2 * MEMBER);
}

#[test]
fn what_does_not_fit_is_not_built_and_takes_nothing() {
    let mut budget = Budget::bytes(MAP);
    assert_eq!(budget.build(r#"{"a":0}"#), Err(Unbuilt::TooCostly));
    assert_eq!(budget.left(), MAP);
    assert!(budget.build(r#"{"":0}"#).is_ok());
    assert_eq!(budget.left(), 0);
    assert_eq!(budget.build("[0]"), Err(Unbuilt::TooCostly));
    assert_eq!((budget.charge(1), budget.charge(0)), (Err(Unbuilt::TooCostly), Ok(())));
}

#[test]
fn the_budget_of_a_body_is_twice_its_size_within_bounds() {
    assert_eq!(Budget::of(0).left(), LEAST);
    assert_eq!(Budget::of(LEAST).left(), 2 * LEAST);
    assert_eq!(Budget::of(usize::MAX).left(), MOST);
}

#[test]
fn only_a_long_text_is_cut() {
    let build = |text: &str| Budget::of(0).build_short(&json!(text).to_string()).unwrap();
    let limit = format!("{} ", "x".repeat(LONGEST_TEXT - 1));
    assert_eq!(build(&limit), json!(limit));
    assert_eq!(build(&format!("  a{}", " ".repeat(LONGEST_TEXT))), json!("a"));
    assert_eq!(build(&"x".repeat(LONGEST_TEXT + 1)), json!("x".repeat(LONGEST_TEXT)));
    assert_eq!(build(&"€".repeat(LONGEST_TEXT)), json!("€".repeat(LONGEST_TEXT / 3)));
    let long = "x".repeat(LONGEST_TEXT + 1);
    assert_eq!(Budget::of(0).build(&json!(long).to_string()), Ok(json!(long)));
}
