//! Reads personal data: names, dates, identifiers and codes of places.
//!
//! Invariant: such a text is never dropped because it is long. It is cut to [`MOST_OF_A_NAME`] or
//! [`MOST`] characters, which is more than the ID system's contract allows, so a text that was cut
//! is refused as invalid and never sent.

/// Limit of a part of a name, in characters. The contract allows 200 for the whole name.
const MOST_OF_A_NAME: usize = 256;
/// Limit of any other text, in characters. The contract allows 64 for an ID or a code.
const MOST: usize = 128;

/// The trimmed text, or `None` if it is empty.
pub(super) fn identifying(text: &str) -> Option<String> {
    cut(text, MOST)
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
