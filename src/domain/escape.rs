//! Escapes the characters with which a foreign text could mislead its reader: line breaks, terminal
//! controls, characters that turn the direction of writing, and characters without a width.
//!
//! Invariant: every output goes through here: logs, spans, metrics, the texts of commands, calls of
//! the webhook and the errors that callers get. What comes out has no invisible character but the
//! space, and the line breaks that its caller wrote.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::national_id::is_invisible;

/// The text in one line. U+202E, for example, becomes `\u{202e}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != ' ' && is_invisible(c), braced)
}

/// The text with its line breaks, which only the bridge itself may have written.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| !matches!(c, ' ' | '\n') && is_invisible(c), braced)
}

/// A JSON text that means the same. U+202E, for example, becomes `\u202e`. White space of ASCII is
/// kept, because only that between values can be in a JSON text unescaped.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    escape(json, |c| !matches!(c, ' ' | '\n' | '\r' | '\t') && is_invisible(c), utf16)
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool, write: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) {
            write(&mut out, c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn braced(out: &mut String, c: char) {
    out.extend(c.escape_unicode());
}

fn utf16(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing into a string cannot fail.
        write!(out, "\\u{unit:04x}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRICKS: &str =
        "a b\u{202e}\u{2066}\u{200b}\u{200d}\u{feff}\u{7f}\u{9b}\u{1b}[2J\r\n\u{2028}\u{e0041}é";

    #[test]
    fn what_cannot_be_seen_is_escaped_and_the_rest_stays() {
        assert_eq!(
            escaped(TRICKS),
            "a b\\u{202e}\\u{2066}\\u{200b}\\u{200d}\\u{feff}\\u{7f}\\u{9b}\\u{1b}[2J\\u{d}\\u{a}\\u{2028}\\u{e0041}é"
        );
        assert_eq!(escaped_lines("a\n\u{202e}\tb"), "a\n\\u{202e}\\u{9}b");
        for plain in ["", "an office, 7", "Ålesund {}\\u{202e}", "নাম"] {
            assert!(matches!(escaped(plain), Cow::Borrowed(same) if same == plain), "{plain}");
        }
    }

    #[test]
    fn escaped_json_means_the_same() {
        let value = serde_json::json!({ TRICKS: [TRICKS, "\u{1f469}\u{200d}\u{1f467}"] });
        for json in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let escaped = escaped_json(&json);
            assert!(
                !escaped.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{9b}', '\u{e0041}']),
                "{escaped}"
            );
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        }
    }
}
