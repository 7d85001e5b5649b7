//! Reads the text of a field mapping.
//!
//! Invariant: a text is read completely or refused, and a refusal never quotes it.

use serde_json::Value;

use super::reader::{MappingFault, Reader, UnusableMapping, is_bare};
use super::{Condition, FieldList, FieldValue, MappedField};
use crate::domain::EventKind;

/// OpenCRVS core keeps numbers as IEEE 754 doubles; integers beyond this limit are rounded there.
const LARGEST_INTEGER: f64 = 9_007_199_254_740_991.0;

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
