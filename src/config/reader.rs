//! Reads settings from a file and an environment, and remembers what was declared, found and wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::fault::{Fault, Faults};
use super::value::Value;

/// A setting as it is declared.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its key in the TOML file, such as `front.listen`.
    pub key: &'static str,
    /// Its variable.
    pub env: &'static str,
    /// Another name of the variable that is in use elsewhere.
    pub alias: Option<&'static str>,
    /// Its default; none: it is off, or it has to be given.
    pub default: Option<&'static str>,
    /// What it is for.
    pub what: &'static str,
    /// Whether it is never to be shown.
    pub secret: bool,
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nobody gave it.
    Default,
    /// The TOML file.
    File,
    /// The environment, or a file that it names.
    Environment,
}

impl Setting {
    pub(super) const fn new(
        key: &'static str,
        env: &'static str,
        default: &'static str,
        what: &'static str,
    ) -> Self {
        Self { key, env, alias: None, default: Some(default), what, secret: false }
    }

    pub(super) const fn optional(key: &'static str, env: &'static str, what: &'static str) -> Self {
        Self { key, env, alias: None, default: None, what, secret: false }
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(super) const fn alias(mut self, name: &'static str) -> Self {
        self.alias = Some(name);
        self
    }
}

/// A setting with the text that is in force.
pub(super) struct Found {
    pub(super) setting: Setting,
    pub(super) text: Option<String>,
    pub(super) source: Source,
}

pub(super) struct Reader<'a> {
    file: BTreeMap<String, String>,
    environment: &'a BTreeMap<String, String>,
    pub(super) found: Vec<Found>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: Option<&str>, environment: &'a BTreeMap<String, String>) -> Self {
        let mut reader = Self { file: BTreeMap::new(), environment, found: Vec::new(), faults: Vec::new() };
        match file.map(str::parse::<toml::Table>) {
            Some(Ok(table)) => flatten("", table, &mut reader.file),
            Some(Err(error)) => reader.fault("the configuration file", error.message()),
            None => {}
        }
        reader
    }

    pub(super) fn get<T: Value>(&mut self, setting: Setting) -> Option<T> {
        let (text, source) = self.look_up(&setting);
        let read = text.as_deref().map(T::read);
        if let Some(Err(expected)) = &read {
            let found = text.as_deref().filter(|_| !setting.secret).map(|text| format!(", not `{text}`"));
            self.fault_of(&setting, &format!("{expected}{}", found.unwrap_or_default()));
        }
        self.found.push(Found { setting, text, source });
        read.and_then(Result::ok)
    }

    fn look_up(&mut self, setting: &Setting) -> (Option<String>, Source) {
        for name in [Some(setting.env), setting.alias].into_iter().flatten() {
            if let Some(text) = self.environment.get(name).filter(|text| !text.is_empty()) {
                return (Some(text.clone()), Source::Environment);
            }
            let by_file = format!("{name}_FILE");
            if let Some(path) = self.environment.get(&by_file).filter(|path| !path.is_empty()) {
                match std::fs::read_to_string(Path::new(path)) {
                    Ok(text) => return (Some(text.trim().to_owned()), Source::Environment),
                    Err(error) => self.fault(&by_file, &format!("the file cannot be read: {error}")),
                }
            }
        }
        match self.file.get(setting.key) {
            Some(text) => (Some(text.clone()), Source::File),
            None => (setting.default.map(str::to_owned), Source::Default),
        }
    }

    pub(super) fn fault_of(&mut self, setting: &Setting, problem: &str) {
        self.fault(&format!("{} ({})", setting.env, setting.key), problem);
    }

    fn fault(&mut self, name: &str, problem: &str) {
        self.faults.push(Fault { name: name.to_owned(), problem: problem.to_owned() });
    }

    pub(super) fn finish<T>(mut self, read: Option<T>) -> Result<T, Faults> {
        let known: BTreeSet<&str> = self.found.iter().map(|found| found.setting.key).collect();
        let unknown: Vec<String> =
            self.file.keys().filter(|key| !known.contains(key.as_str())).cloned().collect();
        for key in unknown {
            let near = known.iter().min_by_key(|name| strsim::damerau_levenshtein(name, &key)).copied();
            let hint = near.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            self.fault(&key, &format!("there is no such setting{hint}"));
        }
        match read {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(Faults(self.faults)),
        }
    }
}

fn flatten(prefix: &str, table: toml::Table, into: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(table) => flatten(&key, table, into),
            toml::Value::Array(items) => {
                let items: Vec<String> = items.iter().map(text).collect();
                into.insert(key, items.join(","));
            }
            toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_) => {
                into.insert(key, text(&value));
            }
        }
    }
}

fn text(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
