//! Reads the text of a field mapping.
//!
//! Invariant: a text is read completely or refused, and a refusal never quotes it.

use std::fmt;

use serde_json::Value;

use super::{Condition, FieldList, FieldValue, MappedField};
use crate::domain::EventKind;

/// OpenCRVS core keeps numbers as IEEE 754 doubles; integers beyond this limit are rounded there.
const LARGEST_INTEGER: f64 = 9_007_199_254_740_991.0;

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

fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-')
}

pub(super) fn mapping(text: &str) -> Result<Vec<FieldList>, UnusableMapping> {
    let mut reader = Reader::new(text);
    let mut lists = vec![list(&mut reader, &[])?];
    // A semicolon may stand at the end, too.
    while reader.eat(';') && !reader.is_at_end() {
        lists.push(list(&mut reader, &lists)?);
    }
    if reader.is_at_end() { Ok(lists) } else { Err(reader.fault(MappingFault::NoEnd)) }
}

fn list(reader: &mut Reader<'_>, before: &[FieldList]) -> Result<FieldList, UnusableMapping> {
    reader.skip_space();
    let start = reader.at;
    let kind = if reader.eat('*') {
        None
    } else {
        let name = reader.name()?.ok_or(reader.fault_at(start, MappingFault::NoKind))?;
        Some(EventKind::from_name(&name))
    };
    if !reader.eat(':') {
        return Err(reader.fault_at(start, MappingFault::NoKind));
    }
    if before.iter().any(|list| list.kind == kind) {
        return Err(reader.fault_at(start, MappingFault::KindTwice));
    }
    let mut parsed = vec![field(reader)?];
    while reader.eat(',') {
        parsed.push(field(reader)?);
    }
    let writes_id = parsed.iter().any(|(field, _)| field.value == FieldValue::Id);
    let default = if writes_id { Condition::Issued } else { Condition::Answered };
    let mut fields: Vec<MappedField> = Vec::with_capacity(parsed.len());
    for (field, at) in parsed {
        let field = MappedField { name: field.name, value: field.value, when: field.when.unwrap_or(default) };
        if fields.iter().any(|one| one.name == field.name && one.when.overlaps(field.when)) {
            return Err(reader.fault_at(at, MappingFault::FieldTwice));
        }
        fields.push(field);
    }
    Ok(FieldList { kind, fields })
}

/// A field as the text has it, perhaps without a condition.
struct ParsedField {
    name: String,
    value: FieldValue,
    when: Option<Condition>,
}

/// Reads one field, and returns it with its place in the text.
fn field(reader: &mut Reader<'_>) -> Result<(ParsedField, usize), UnusableMapping> {
    reader.skip_space();
    let start = reader.at;
    let name = reader.name()?.ok_or(reader.fault(MappingFault::NoName))?;
    if !reader.eat('=') {
        return Err(reader.fault(MappingFault::NoEquals));
    }
    let value = value(reader)?;
    let when = condition(reader)?;
    if value == FieldValue::Id && when.is_some_and(|when| when != Condition::Issued) {
        return Err(reader.fault_at(start, MappingFault::IdNotIssued));
    }
    Ok((ParsedField { name, value, when }, start))
}

fn value(reader: &mut Reader<'_>) -> Result<FieldValue, UnusableMapping> {
    if let Some(text) = reader.quoted_text()? {
        return Ok(FieldValue::Literal(Value::from(text)));
    }
    let start = reader.at;
    match reader.word(|c| is_bare(c) || c == '+') {
        "id" => Ok(FieldValue::Id),
        "number" => Ok(FieldValue::Number),
        word => match serde_json::from_str(word) {
            Ok(Value::Number(number)) if number.as_f64().is_none_or(is_rounded) => {
                Err(reader.fault_at(start, MappingFault::RoundedNumber))
            }
            Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => Ok(FieldValue::Literal(value)),
            Ok(Value::String(_) | Value::Array(_) | Value::Object(_)) | Err(_) => {
                Err(reader.fault_at(start, MappingFault::NoValue))
            }
        },
    }
}

fn is_rounded(number: f64) -> bool {
    number.abs() > LARGEST_INTEGER
}

fn condition(reader: &mut Reader<'_>) -> Result<Option<Condition>, UnusableMapping> {
    reader.skip_space();
    let start = reader.at;
    match reader.word(is_bare) {
        "" => Ok(None),
        "when" => {
            reader.skip_space();
            let start = reader.at;
            match reader.word(is_bare) {
                "issued" => Ok(Some(Condition::Issued)),
                "recorded" => Ok(Some(Condition::Recorded)),
                "answered" => Ok(Some(Condition::Answered)),
                _ => Err(reader.fault_at(start, MappingFault::NoCondition)),
            }
        }
        _ => Err(reader.fault_at(start, MappingFault::NoEnd)),
    }
}

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

    fn word(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
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
    fn quoted_text(&mut self) -> Result<Option<String>, UnusableMapping> {
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
