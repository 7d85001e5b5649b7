//! The configuration. Environment variables override a TOML file, which overrides the defaults.
//!
//! [`load`] reads all of it once, at the start. Each module gets its own struct of settings and
//! reads nothing later. `NAME_FILE` names a mounted file that holds the value of `NAME`.
//!
//! Invariant: a process starts only if every setting is valid; otherwise it lists all faults at
//! once. If one setting requires something of another, this is checked only for a process that uses
//! both.

mod check;
mod exposure;
mod fault;
mod file;
mod forms;
mod reader;
mod reference;
mod secret;
mod sections;
mod setting;
mod waits;

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;

pub use fault::{Faults, SettingFault};
pub use forms::{LogFormat, duration};
pub use reader::Shown;
pub use reference::reference;
pub use secret::{SecretFault, SecretSource};
pub use sections::{
    AdminConfig, AlertConfig, BreakerConfig, BrokerConfig, ConfirmConfig, FieldsConfig, FrontConfig,
    LedgerConfig, NidConfig, NumberConfig, OpencrvsConfig, RetentionConfig, SealConfig, SendConfig,
    SweepConfig, TelemetryConfig, TokenConfig,
};

pub use waits::Waits;

#[cfg(test)]
mod tests;

use reader::Reader;
use setting::Setting;

/// The warning of a worker that cannot check registrations in OpenCRVS.
const UNCHECKED: &str = "GATEWAY_URL is not set for this worker: it asks the ID system without looking the \
                         registration up in OpenCRVS, so whoever has a token of OpenCRVS can have an ID issued for an \
                         invented person; set GATEWAY_URL, or SEND_CHECK=false to accept that";

/// All settings of a process.
#[derive(Debug, Clone)]
pub struct Config {
    pub broker: BrokerConfig,
    pub ledger: LedgerConfig,
    /// What [`crate::seal::Sealer::parse`] reads; empty only for a [`Part::Tool`].
    pub seal_keys: SecretString,
    pub front: FrontConfig,
    pub opencrvs: OpencrvsConfig,
    pub fields: FieldsConfig,
    pub nid: NidConfig,
    pub send: SendConfig,
    pub confirm: ConfirmConfig,
    pub breaker: BreakerConfig,
    pub number: NumberConfig,
    pub sweep: SweepConfig,
    pub token: TokenConfig,
    pub alert: AlertConfig,
    pub retention: RetentionConfig,
    pub telemetry: TelemetryConfig,
    pub admin: AdminConfig,
}

/// The part of the bridge that a configuration is for. It decides which settings are required and
/// which checks apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All roles in one process, or a command that checks for all of them.
    All,
    Front,
    Worker,
    Confirmer,
    /// A command that does a role's work by hand. Like every role, it needs keys that seal.
    Operation,
    /// A command that only inspects or sets up; it needs no keys.
    Tool,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    pub environment: BTreeMap<String, String>,
}

impl Sources {
    /// This process's own environment, and the file that `--config` or `NIDBRIDGE_CONFIG` names.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let environment: BTreeMap<_, _> =
            std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        let named = environment.get("NIDBRIDGE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { file: file.or(named), environment }
    }
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// Every setting with its secrets masked.
    pub shown: Vec<Shown>,
    /// Settings that are valid but probably not intended.
    pub warnings: Vec<String>,
    /// Settings that leave secrets or personal data open.
    pub exposures: Vec<String>,
}

/// Reads the configuration.
///
/// # Errors
/// [`Faults`] lists all faults at once.
pub fn load(sources: &Sources, part: Part) -> Result<Loaded, Faults> {
    let known: Vec<&Setting> = settings().collect();
    let mut faults = Vec::new();
    let file = sources.file.as_deref().map(|path| file::read(path, &known, &mut faults)).unwrap_or_default();
    let mut reader = Reader::new(&sources.environment, &file);
    let config = Config::read(&mut reader);
    if let Some(config) = &config {
        config.check(part, &mut reader);
    }
    let (shown, more) = reader.finish();
    faults.extend(more);
    let gateway = shown.iter().find(|one| one.key == "opencrvs.gateway_url");
    let names_gateway = gateway.is_some_and(|one| one.origin != reader::DEFAULT);
    match config {
        Some(mut config) if faults.is_empty() => {
            // The default suits a bridge that runs beside OpenCRVS; a separate worker may not.
            let checks = config.send.check && part == Part::Worker;
            config.send.check &= names_gateway || part != Part::Worker;
            let mut warnings = near_misses(&sources.environment, &known);
            warnings.extend(empty_variables(&sources.environment, &known, &shown));
            warnings.extend(config.warnings(part));
            if checks && !config.send.check {
                warnings.push(UNCHECKED.to_owned());
            }
            let exposures = config.exposures(&shown);
            Ok(Loaded { config, shown, warnings, exposures })
        }
        Some(_) | None => Err(Faults(faults)),
    }
}

/// Every setting, in the order of the reference.
fn settings() -> impl Iterator<Item = &'static Setting> {
    [
        FrontConfig::SETTINGS,
        OpencrvsConfig::SETTINGS,
        FieldsConfig::SETTINGS,
        BrokerConfig::SETTINGS,
        LedgerConfig::SETTINGS,
        SealConfig::SETTINGS,
        NidConfig::SETTINGS,
        SendConfig::SETTINGS,
        NumberConfig::SETTINGS,
        ConfirmConfig::SETTINGS,
        BreakerConfig::SETTINGS,
        SweepConfig::SETTINGS,
        TokenConfig::SETTINGS,
        AlertConfig::SETTINGS,
        RetentionConfig::SETTINGS,
        TelemetryConfig::SETTINGS,
        AdminConfig::SETTINGS,
    ]
    .into_iter()
    .flatten()
}

impl Config {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let front = FrontConfig::read(reader);
        let opencrvs = OpencrvsConfig::read(reader);
        let fields = FieldsConfig::read(reader);
        let broker = BrokerConfig::read(reader);
        let ledger = LedgerConfig::read(reader);
        let seal = SealConfig::read(reader);
        let nid = NidConfig::read(reader);
        let send = SendConfig::read(reader);
        let number = NumberConfig::read(reader);
        let confirm = ConfirmConfig::read(reader);
        let breaker = BreakerConfig::read(reader);
        let sweep = SweepConfig::read(reader);
        let token = TokenConfig::read(reader);
        let alert = AlertConfig::read(reader);
        let retention = RetentionConfig::read(reader);
        let telemetry = TelemetryConfig::read(reader);
        let admin = AdminConfig::read(reader);
        Some(Self {
            broker: broker?,
            ledger: ledger?,
            seal_keys: seal?.keys,
            front: front?,
            opencrvs: opencrvs?,
            fields: fields?,
            nid: nid?,
            send: send?,
            confirm: confirm?,
            breaker: breaker?,
            number: number?,
            sweep: sweep?,
            token: token?,
            alert: alert?,
            retention: retention?,
            telemetry: telemetry?,
            admin: admin?,
        })
    }
}

/// Variables that are set but empty, so that the default applies, perhaps by mistake.
fn empty_variables(
    environment: &BTreeMap<String, String>,
    known: &[&Setting],
    shown: &[Shown],
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (setting, shown) in known.iter().zip(shown) {
        if shown.origin != reader::DEFAULT || setting.default.is_empty() {
            continue;
        }
        let names = setting.env.iter().flat_map(|name| [(*name).to_owned(), format!("{name}_FILE")]);
        let empty = names.filter(|name| environment.get(name).is_some_and(String::is_empty));
        warnings.extend(empty.map(|name| {
            format!("{name} is empty, which counts as not set: the default applies, {}", shown.value)
        }));
    }
    warnings
}

/// Variables that are probably misspelt names of settings.
fn near_misses(environment: &BTreeMap<String, String>, known: &[&Setting]) -> Vec<String> {
    let names = || known.iter().flat_map(|setting| setting.env.iter().copied());
    let odd = |name: &&str| !names().any(|known| known == *name);
    environment
        .keys()
        .map(|name| name.strip_suffix("_FILE").unwrap_or(name))
        .filter(odd)
        .filter_map(|name| {
            let near = file::nearest(name, names())?;
            Some(format!("{name} is not a setting: did you mean {near}?"))
        })
        .collect()
}
