//! Configuration: a TOML file, the environment over it, `NAME_FILE` for whatever must not be in either.
//!
//! Every setting is declared once, by the call that reads it; `config reference` and `config show` are made from the
//! same declarations.
//!
//! Invariant: all faults are found before any is reported, each with the name of its variable; secrets are a type
//! that cannot be shown; nothing else in the bridge reads the environment.

mod fault;
mod reader;
mod report;
mod sections;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

pub use fault::{Fault, Faults};
pub use reader::{Setting, Source};
pub use report::{reference, show};
pub use sections::{
    AdminConfig, BrokerConfig, ConfirmConfig, FrontConfig, LedgerConfig, LogFormat, NidConfig, NumberConfig,
    OpencrvsConfig, TelemetryConfig,
};

use reader::Reader;
use secrecy::SecretString;

/// The environment variable that names the TOML file.
pub const FILE_VARIABLE: &str = "NIDBRIDGE_CONFIG";

/// What a command cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The roles: everything, the seal keys among it.
    Role,
    /// Commands that touch no personal data.
    NoSeal,
}

/// The whole configuration. A process takes the sections it needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// RabbitMQ.
    pub broker: BrokerConfig,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// `SEAL_KEYS`; empty only where the command does not need them.
    pub seal_keys: SecretString,
    /// The HTTP front.
    pub front: FrontConfig,
    /// How OpenCRVS is reached.
    pub opencrvs: OpencrvsConfig,
    /// The National ID side.
    pub nid: NidConfig,
    /// How OpenCRVS is told.
    pub confirm: ConfirmConfig,
    /// Registration numbers.
    pub number: NumberConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// The listener for operators.
    pub admin: AdminConfig,
}

impl Config {
    /// Reads the configuration from a file's text and an environment.
    ///
    /// # Errors
    /// [`Faults`]: every setting that is wrong, unknown or missing.
    pub fn read(
        file: Option<&str>,
        environment: &BTreeMap<String, String>,
        needs: Needs,
    ) -> Result<Self, Faults> {
        let mut reader = Reader::new(file, environment);
        let config = sections::read(&mut reader, needs);
        reader.finish(config)
    }

    /// Reads the configuration from the file (if one is named) and this process's environment.
    ///
    /// # Errors
    /// [`Faults`], also when the file cannot be read.
    pub fn load(file: Option<&Path>, needs: Needs) -> Result<Self, Faults> {
        let environment = environment();
        let text = file_text(file, &environment)?;
        Self::read(text.as_deref(), &environment, needs)
    }
}

/// This process's environment: the only place that reads it.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The text of the file that is named by the flag or by [`FILE_VARIABLE`].
///
/// # Errors
/// [`Faults`] when it cannot be read.
pub fn file_text(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<Option<String>, Faults> {
    let named = environment.get(FILE_VARIABLE).filter(|path| !path.is_empty()).map(Path::new);
    let Some(path) = file.or(named) else { return Ok(None) };
    std::fs::read_to_string(path).map(Some).map_err(|error| Faults::one(Fault::file(path, &error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const KEYS: (&str, &str) = ("SEAL_KEYS", "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");

    #[test]
    fn the_environment_is_over_the_file_and_the_file_over_the_defaults() {
        let file =
            "[front]\nlisten = \"127.0.0.1:1\"\nhold = \"3s\"\n[broker]\nretry_steps = [\"1s\", \"2m\"]\n";
        let config = Config::read(
            Some(file),
            &environment(&[KEYS, ("FRONT_LISTEN", "127.0.0.1:2"), ("GATEWAY_URL", "")]),
            Needs::Role,
        )
        .unwrap();
        assert_eq!(config.front.listen.port(), 2);
        assert_eq!(config.front.hold.as_secs(), 3);
        assert_eq!(
            config.broker.retry_steps.iter().map(std::time::Duration::as_secs).collect::<Vec<_>>(),
            [1, 120]
        );
        assert_eq!(config.opencrvs.gateway_url.as_str(), "http://gateway:7070/");
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_variable_and_without_its_secret() {
        let file = "[front]\nlisen = \"x\"\n";
        let bad = [
            ("FRONT_HOLD", "soon"),
            ("AUTH_URL", "auth"),
            ("SEAL_KEYS", "hunter2"),
            ("NUMBER_TEMPLATE", "{year}"),
            ("CONFIRM_LEASE", "1s"),
        ];
        let told = Config::read(Some(file), &environment(&bad), Needs::Role).unwrap_err().to_string();
        for name in
            ["FRONT_HOLD", "AUTH_URL", "SEAL_KEYS", "NUMBER_TEMPLATE", "CONFIRM_LEASE", "front.listen"]
        {
            assert!(told.contains(name), "{name} is not in:\n{told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_secret_may_be_in_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(&path, format!("{}\n", KEYS.1)).unwrap();
        let by_file = environment(&[("SEAL_KEYS_FILE", path.to_str().unwrap())]);
        assert!(Config::read(None, &by_file, Needs::Role).is_ok());
        let gone = environment(&[("SEAL_KEYS_FILE", "/nowhere/keys")]);
        let told = Config::read(None, &gone, Needs::Role).unwrap_err().to_string();
        assert!(told.contains("SEAL_KEYS_FILE"), "{told}");
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let url = ("AMQP_URL", "amqp://user:hunter2@broker/nidbridge");
        let shown = show(None, &environment(&[KEYS, url]));
        assert!(shown.contains("amqp://user:***@broker/nidbridge"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("AAAAAAA"), "{shown}");
    }

    #[test]
    fn seal_keys_are_asked_of_roles_only() {
        assert!(Config::read(None, &BTreeMap::new(), Needs::NoSeal).is_ok());
        let told = Config::read(None, &BTreeMap::new(), Needs::Role).unwrap_err().to_string();
        assert!(told.contains("SEAL_KEYS"), "{told}");
    }
}
