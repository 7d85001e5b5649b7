//! The reference of all settings, generated from their declarations.

use super::{Setting, settings};

/// A table in Markdown: key, variable, default, meaning.
pub fn reference() -> String {
    let mut text = String::from("| key | variable | default | meaning |\n|---|---|---|---|\n");
    for setting in settings() {
        text.push_str(&row(setting));
    }
    text
}

fn row(setting: &Setting) -> String {
    let names: Vec<String> = setting.env.iter().map(|name| format!("`{name}`")).collect();
    let default =
        if setting.default.is_empty() { "–".to_owned() } else { format!("`{}`", setting.default) };
    let secret = if setting.secret { " Secret." } else { "" };
    let (key, doc, expected) = (setting.key, setting.doc.trim(), setting.expected);
    format!("| `{key}` | {} | {default} | {doc} ({expected}){secret} |\n", names.join(", "))
}
