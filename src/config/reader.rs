//! Finds the text of each setting: in the environment, else in the file, else the default.
//!
//! Invariant: reading goes on after a fault, and no fault holds a secret.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fault::SettingFault;
use super::setting::{Form, Setting};

/// The origin of a value that neither the environment nor the file sets.
pub(super) const DEFAULT: &str = "the default";

/// A setting in force, with its secrets masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub key: &'static str,
    /// `(not set)` if there is no value.
    pub value: String,
    /// A variable, the file, or the default.
    pub origin: String,
}

/// Reads settings and collects their faults.
pub(super) struct Reader<'a> {
    environment: &'a BTreeMap<String, String>,
    file: &'a BTreeMap<String, String>,
    faults: Vec<SettingFault>,
    shown: Vec<Shown>,
}

struct Found {
    text: String,
    origin: String,
    /// The mounted file that contains the text.
    file: Option<PathBuf>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a BTreeMap<String, String>, file: &'a BTreeMap<String, String>) -> Self {
        Self { environment, file, faults: Vec::new(), shown: Vec::new() }
    }

    /// Reads the value of one setting. On a fault, keeps the fault and returns `None`.
    pub(super) fn value<F: Form>(&mut self, setting: &Setting) -> Option<F::Value> {
        let found = match self.find(setting) {
            Ok(found) => found,
            Err(fault) => {
                self.faults.push(fault);
                return None;
            }
        };
        let value = if found.text.is_empty() { "(not set)".to_owned() } else { (setting.show)(&found.text) };
        self.shown.push(Shown { key: setting.key, value, origin: found.origin.clone() });
        let parsed = match &found.file {
            Some(file) => F::parse_mounted(file, &found.text),
            None => F::parse(&found.text),
        };
        match parsed {
            Ok(value) => Some(value),
            Err(why) => {
                let fix = format!("write {} (it is from {})", F::EXPECTED, found.origin);
                self.faults.push(SettingFault::of(setting, why, fix).showing(setting, &found.text));
                None
            }
        }
    }

    /// Whether the environment or the file sets a value that was read.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.shown.iter().any(|shown| shown.key == key && shown.origin != DEFAULT)
    }

    pub(super) fn fault(&mut self, fault: SettingFault) {
        self.faults.push(fault);
    }

    pub(super) fn finish(self) -> (Vec<Shown>, Vec<SettingFault>) {
        (self.shown, self.faults)
    }

    fn find(&self, setting: &Setting) -> Result<Found, SettingFault> {
        let mut found: Option<Found> = None;
        for name in setting.env {
            for candidate in [self.direct(name), self.mounted(setting, name)?].into_iter().flatten() {
                if let Some(first) = &found {
                    let why = format!("is set twice, by {} and by {}", first.origin, candidate.origin);
                    return Err(SettingFault::of(setting, why, "keep one of them"));
                }
                found = Some(candidate);
            }
        }
        Ok(found
            .or_else(|| {
                let text = self.file.get(setting.key)?.clone();
                Some(Found { text, origin: "the file".to_owned(), file: None })
            })
            .unwrap_or_else(|| Found {
                text: setting.default.to_owned(),
                origin: DEFAULT.to_owned(),
                file: None,
            }))
    }

    /// An empty variable counts as not set, because compose files pass empty variables.
    fn direct(&self, name: &str) -> Option<Found> {
        let text = self.environment.get(name).filter(|text| !text.is_empty())?;
        Some(Found { text: text.clone(), origin: name.to_owned(), file: None })
    }

    fn mounted(&self, setting: &Setting, name: &str) -> Result<Option<Found>, SettingFault> {
        let name = format!("{name}_FILE");
        let Some(path) = self.environment.get(&name).filter(|path| !path.is_empty()) else { return Ok(None) };
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(Found {
                text: text.trim_end_matches(['\r', '\n']).to_owned(),
                origin: name,
                file: Some(PathBuf::from(path)),
            })),
            Err(why) => Err(SettingFault::of(
                setting,
                format!("{name} names {path:?}, which cannot be read ({why})"),
                "mount a file there that this user can read, or set the variable itself",
            )),
        }
    }
}
