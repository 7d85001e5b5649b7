//! Reads names, texts and punctuation of the settings that map fields, and reports faults by their
//! place.
//!
//! Invariant: a fault never quotes the text.

use std::fmt;

use serde_json::Value;

/// Why a mapping cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MappingFault {
    #[error("a list begins with a kind of event and a colon, such as `birth:`, or `*:` for all other kinds")]
    NoKind,
    #[error("the kind of event has a list already: write all its fields into one list")]
    KindTwice,
    #[error(
        "the name of a field is missing; a name with other characters than letters, digits, `.`, `_` and `-` \
         needs double quotes"
    )]
    NoName,
    #[error("the field is written twice for the same answer: remove one, or limit both with `when`")]
    FieldTwice,
    #[error("`=` must follow the name")]
    NoEquals,
    #[error("a value is missing: id, number, a text in double quotes, a number in JSON, true, false or null")]
    NoValue,
    #[error("a text in double quotes is not closed, or is not valid in JSON")]
    BrokenText,
    #[error("OpenCRVS would round the number: write it as a text in double quotes")]
    RoundedNumber,
    #[error("`when` needs one of issued, recorded and answered")]
    NoCondition,
    #[error("`id` exists only when an ID was issued: leave its `when` out")]
    IdNotIssued,
    #[error("a comma, a semicolon or the end of the text is expected here")]
    NoEnd,
    #[error(
        "no such member: write child, deceased, mother, father, spouse, informant, bride or groom, a dot, and \
         name.firstname, name.middlename, name.surname, dob, gender, nid or (deceased) dateOfDeath; in the events \
         generation also name, idType, dobUnknown or detailsNotAvailable"
    )]
    UnknownMember,
    #[error("the member is set twice: write all its sources after one `=`, with `|` between them")]
    MemberTwice,
    #[error(
        "a source is missing: the name of a field, or one of the words that the setting's description lists"
    )]
    NoSource,
}

/// A fault in the text of a mapping, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnusableMapping {
    /// The position of the character, from 1.
    pub at: usize,
    pub fault: MappingFault,
}

impl fmt::Display for UnusableMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at, self.fault)
    }
}

impl std::error::Error for UnusableMapping {}

/// The name as it is written in a mapping: in double quotes if it needs them.
pub(super) fn quoted(name: &str) -> String {
    let is_bare = !name.is_empty() && name.chars().all(is_bare);
    if is_bare { name.to_owned() } else { Value::from(name).to_string() }
}

/// Whether a name may hold the character without double quotes.
pub(super) fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Reads the text of a setting from left to right.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// The offset of the next byte.
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }

    pub(super) fn eat(&mut self, expected: char) -> bool {
        self.skip_space();
        let is_next = self.rest().starts_with(expected);
        if is_next {
            self.at += expected.len_utf8();
        }
        is_next
    }

    pub(super) fn word(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// A name, with or without double quotes. `None` if there is none.
    pub(super) fn name(&mut self) -> Result<Option<String>, UnusableMapping> {
        let name = match self.quoted_text()? {
            Some(name) => name,
            None => self.word(is_bare).to_owned(),
        };
        Ok(Some(name).filter(|name| !name.is_empty() && !name.chars().any(char::is_control)))
    }

    /// A text in double quotes, as in JSON. `None` if the next character is no double quote.
    pub(super) fn quoted_text(&mut self) -> Result<Option<String>, UnusableMapping> {
        self.skip_space();
        if !self.rest().starts_with('"') {
            return Ok(None);
        }
        let mut texts = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        let Some(Ok(text)) = texts.next() else { return Err(self.fault(MappingFault::BrokenText)) };
        self.at += texts.byte_offset();
        Ok(Some(text))
    }

    pub(super) fn fault(&self, fault: MappingFault) -> UnusableMapping {
        self.fault_at(self.at, fault)
    }

    /// A fault at this byte of the text.
    pub(super) fn fault_at(&self, at: usize, fault: MappingFault) -> UnusableMapping {
        let before = self.text.get(..at).unwrap_or_default();
        UnusableMapping { at: before.chars().count() + 1, fault }
    }
}
