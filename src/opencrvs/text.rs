//! Reads personal data: names, dates, identifiers and codes of places.
//!
//! Invariant: such a text is never dropped because it is long. It is cut to [`MOST_OF_A_NAME`] or
//! [`MOST`] characters, which is more than the ID system's contract allows, so a text that was cut
//! is refused as invalid and never sent.

use serde_json::Value;

/// Limit of a part of a name, in characters. The contract allows 200 for the whole name.
const MOST_OF_A_NAME: usize = 256;
/// Limit of any other text, in characters. The contract allows 64 for an ID or a code.
const MOST: usize = 128;

/// The trimmed text, or `None` if it is empty.
pub(super) fn identifying(text: &str) -> Option<String> {
    cut(text, MOST)
}

/// Reads personal data from a JSON value. A whole number is read as its digits, because a form may
/// ask for an ID as a number. Any other value is read as an empty text, which is refused as missing
/// or invalid.
pub(super) fn identifying_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => identifying(text),
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        Value::Null => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Object(members) if members.is_empty() => None,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(String::new()),
    }
}

/// Joins the texts of a part of a name, or returns `None` if all are empty.
pub(super) fn name_part<'t>(parts: impl IntoIterator<Item = &'t str>) -> Option<String> {
    let parts: Vec<&str> = parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect();
    cut(&parts.join(" "), MOST_OF_A_NAME)
}

fn cut(text: &str, most: usize) -> Option<String> {
    let text: String = text.trim().chars().take(most).collect();
    (!text.is_empty()).then_some(text)
}

/// Whether a text has at most `most` characters. A longer text that is not personal data is not
/// kept.
pub(super) fn is_within(text: &str, most: usize) -> bool {
    text.len() <= most || text.chars().take(most + 1).count() <= most
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_measured_in_characters() {
        for (text, within) in [("abc", true), ("abcd", false), ("கखক", true), ("கखক7", false), ("", true)]
        {
            assert_eq!(is_within(text, 3), within, "{text}");
        }
    }

    #[test]
    fn a_value_of_any_type_is_never_read_as_absent() {
        for (value, text) in [
            (json!("9001112223"), Some("9001112223")),
            (json!(" 0001 "), Some("0001")),
            (json!(9_001_112_223_u64), Some("9001112223")),
            (json!(-5), Some("-5")),
            (json!(18_446_744_073_709_551_615_u64), Some("18446744073709551615")),
            // Digits may be lost already.
            (json!(9_001_112_223.0), Some("")),
            (json!(1.5e30), Some("")),
            (json!(true), Some("")),
            (json!({ "value": "9001112223" }), Some("")),
            (json!(["9001112223"]), Some("")),
            (json!(""), None),
            (json!(" \u{a0}"), None),
            (json!(null), None),
            (json!({}), None),
            (json!([]), None),
        ] {
            assert_eq!(identifying_value(&value).as_deref(), text, "{value}");
        }
    }
}
