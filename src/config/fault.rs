//! The faults of a configuration. Each names its setting and the fix.

use std::fmt;

use super::setting::Setting;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingFault {
    /// Variable and key of the setting, or the name of the file.
    pub name: String,
    /// The value, unless it is a secret or may hold one.
    pub value: Option<String>,
    pub why: String,
    pub fix: String,
}

impl SettingFault {
    pub(super) fn of(setting: &Setting, why: impl Into<String>, fix: impl Into<String>) -> Self {
        let name = format!("{} ({})", setting.variable(), setting.key);
        Self { name, value: None, why: why.into(), fix: fix.into() }
    }

    /// Adds the value, unless it is secret or may hold a password.
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

/// All faults of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<SettingFault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} {}:", if count == 1 { "fault" } else { "faults" })?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}
