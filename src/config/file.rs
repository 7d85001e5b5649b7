//! The TOML file, flattened to dotted keys.
//!
//! Invariant: a key that is not a setting is a fault, which suggests the most similar setting.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::fault::SettingFault;
use super::setting::Setting;

/// Reads the file into texts by dotted key; its faults go to `faults`.
pub(super) fn read(
    path: &Path,
    known: &[&Setting],
    faults: &mut Vec<SettingFault>,
) -> BTreeMap<String, String> {
    let mut fault = |why: String, fix: &str| {
        let name = format!("NIDBRIDGE_CONFIG (--config) {}", path.display());
        faults.push(SettingFault { name, value: None, why, fix: fix.to_owned() });
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(why) => {
            fault(format!("cannot be read ({why})"), "name a file that this user can read");
            return BTreeMap::new();
        }
    };
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(why) => {
            let line = line_of(&text, &why);
            fault(format!("is not TOML, line {line}: {}", why.message()), "correct that line");
            return BTreeMap::new();
        }
    };
    let mut texts = BTreeMap::new();
    flatten("", table, known, &mut texts, faults);
    texts
}

/// The line number of an error. The error's own text quotes the line, which may hold a secret.
fn line_of(text: &str, why: &toml::de::Error) -> usize {
    let end = why.span().map_or(0, |span| span.start);
    text.bytes().take(end).filter(|byte| *byte == b'\n').count() + 1
}

fn flatten(
    above: &str,
    table: Table,
    known: &[&Setting],
    texts: &mut BTreeMap<String, String>,
    faults: &mut Vec<SettingFault>,
) {
    for (name, value) in table {
        let key = if above.is_empty() { name } else { format!("{above}.{name}") };
        let setting = known.iter().find(|setting| setting.key == key);
        match (value, setting) {
            (Value::Table(inner), None) => flatten(&key, inner, known, texts, faults),
            (value, Some(setting)) => match text_of(value) {
                Some(text) => {
                    texts.insert(key, text);
                }
                None => {
                    faults.push(SettingFault::of(
                        setting,
                        "has a type that no setting has",
                        "write a string",
                    ));
                }
            },
            (_, None) => faults.push(unknown(key, known)),
        }
    }
}

fn unknown(key: String, known: &[&Setting]) -> SettingFault {
    let fix = match nearest(&key, known.iter().map(|setting| setting.key)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`nidbridge config reference` lists all settings".to_owned(),
    };
    SettingFault { name: key, value: None, why: "is not a setting".to_owned(), fix }
}

/// The known name that is so similar that it was probably intended.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 5).clamp(1, 3))
        .min()
        .map(|(_, candidate)| candidate)
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Array(items) => {
            items.into_iter().map(text_of).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}
