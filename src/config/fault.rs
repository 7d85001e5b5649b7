//! What is wrong with a configuration: everything, at once, each with its names and its fix.

use std::fmt;

use super::setting::Setting;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingFault {
    /// Its names: variable and key.
    pub name: String,
    /// The value as it may be shown.
    pub value: Option<String>,
    /// What is wrong with it.
    pub why: String,
    /// What to do.
    pub fix: String,
}

impl SettingFault {
    pub(super) fn of(setting: &Setting, why: impl Into<String>, fix: impl Into<String>) -> Self {
        let name = format!("{} ({})", setting.variable(), setting.key);
        Self { name, value: None, why: why.into(), fix: fix.into() }
    }

    /// With the value, unless it is secret or may hold a password.
    pub(super) fn showing(mut self, setting: &Setting, value: &str) -> Self {
        self.value = (!setting.secret && !value.contains('@')).then(|| value.to_owned());
        self
    }
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}: {value:?} {}; {}", self.name, self.why, self.fix),
            None => write!(f, "{}: {}; {}", self.name, self.why, self.fix),
        }
    }
}

/// All that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<SettingFault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} {}:", if count == 1 { "fault" } else { "faults" })?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}
