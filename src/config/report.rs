//! The settings as a person reads them: what there is, and what is in force.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Needs;
use super::reader::{Found, Reader, Source};
use super::sections;

/// Every setting as a Markdown table.
pub fn reference() -> String {
    let nothing = BTreeMap::new();
    let mut text = String::from("| variable | TOML key | default | what for |\n|---|---|---|---|\n");
    for Found { setting, .. } in settings(None, &nothing) {
        let default = setting.default.map(|default| format!("`{default}`")).unwrap_or_default();
        let alias = setting.alias.map(|alias| format!(" (or `{alias}`)")).unwrap_or_default();
        let line = format!("| `{}`{alias} | `{}` | {default} | {} |", setting.env, setting.key, setting.what);
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(
        "\nEvery variable can be given as `NAME_FILE` as well: the name of a file that holds the value.\n",
    );
    text
}

/// What is in force, with secrets left out and passwords in URLs masked.
pub fn show(file: Option<&str>, environment: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for Found { setting, text: value, source } in settings(file, environment) {
        let from = match source {
            Source::Default => "default",
            Source::File => "file",
            Source::Environment => "environment",
        };
        let shown = match value {
            None => "(not set)".to_owned(),
            Some(_) if setting.secret && !setting.key.ends_with("url") => "(set)".to_owned(),
            Some(value) => masked(&value),
        };
        // Writing to a String cannot fail.
        _ = writeln!(text, "{} = {shown}  # {from}, {}", setting.key, setting.env);
    }
    text
}

fn settings(file: Option<&str>, environment: &BTreeMap<String, String>) -> Vec<Found> {
    let mut reader = Reader::new(file, environment);
    // Only what is declared is of interest here, not whether it holds.
    drop(sections::read(&mut reader, Needs::NoSeal));
    std::mem::take(&mut reader.found)
}

/// A URL without its password; anything else as it is.
fn masked(value: &str) -> String {
    match url::Url::parse(value) {
        Ok(mut url) if url.password().is_some() => {
            // A URL with a password has a host, so it can be given another one.
            match url.set_password(Some("***")) {
                Ok(()) => url.to_string(),
                Err(()) => "(set)".to_owned(),
            }
        }
        Ok(_) | Err(_) => value.to_owned(),
    }
}
