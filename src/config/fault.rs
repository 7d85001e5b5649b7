//! What is wrong with a configuration, all of it.

use std::fmt;
use std::path::Path;

/// One fault: which setting, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable and the key, or the file.
    pub name: String,
    /// What is wrong and how to put it right; never a secret.
    pub problem: String,
}

impl Fault {
    pub(super) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self {
            name: path.display().to_string(),
            problem: format!("the configuration file cannot be read: {error}"),
        }
    }
}

/// Every fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub(super) fn one(fault: Fault) -> Self {
        Self(vec![fault])
    }

    /// The faults.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration has {} fault(s):", self.0.len())?;
        for fault in &self.0 {
            writeln!(f, "  {}: {}", fault.name, fault.problem)?;
        }
        f.write_str("see `nidbridge config reference` for every setting")
    }
}

impl std::error::Error for Faults {}
