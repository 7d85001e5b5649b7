//! JSON templates. `${name}` in a text stands for a fact, and `${id:name}` for the id of a resource
//! of the record. Placeholders may be nested.
//!
//! Invariant: a member or element whose whole text is a placeholder takes the fact as it is, and is
//! left out if the fact is null. A placeholder without a fact stays as it is.

use serde_json::Value;

use super::Declaration;

/// The templates of `bundle.json` and the facts of one document.
pub(super) struct Templates<'a> {
    pub(super) family: &'a Declaration,
    pub(super) templates: Value,
    /// The facts that every template may use.
    pub(super) facts: Value,
}

impl Templates<'_> {
    /// Fills the template with this name. Facts in `own` win over those of the document.
    pub(super) fn fill(&self, name: &str, own: &Value) -> Value {
        self.filled(self.templates.get(name).unwrap_or(&Value::Null), own)
    }

    pub(super) fn filled(&self, template: &Value, own: &Value) -> Value {
        let there = |value: &Value| !value.is_null();
        match template {
            Value::String(text) => self.text(text, own),
            Value::Array(all) => all.iter().map(|one| self.filled(one, own)).filter(there).collect(),
            Value::Object(members) => {
                let filled = members.iter().map(|(name, value)| (name.clone(), self.filled(value, own)));
                filled.filter(|(_, value)| there(value)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
        }
    }

    fn text(&self, template: &str, own: &Value) -> Value {
        let mut text = template.to_owned();
        while let Some((before, rest)) = text.rsplit_once("${")
            && let Some((name, after)) = rest.split_once('}')
            && let Some(fact) = self.fact(name, own)
        {
            if before.is_empty() && after.is_empty() {
                return fact;
            }
            let fact = fact.as_str().map_or_else(|| fact.to_string(), str::to_owned);
            text = format!("{before}{fact}{after}");
        }
        Value::String(text)
    }

    fn fact(&self, name: &str, own: &Value) -> Option<Value> {
        match name.strip_prefix("id:") {
            Some(name) => Some(Value::String(self.family.part(name))),
            None => own.get(name).or_else(|| self.facts.get(name)).cloned(),
        }
    }
}
