//! The configuration: a TOML file, the environment over it, `NAME_FILE` for what is mounted as a file.
//!
//! [`load`] reads all of it once, at the start; every part of the bridge gets its own struct and asks nobody later.
//!
//! Invariant: a process starts with a configuration that is right in every setting, or lists all that is wrong.

mod fault;
mod file;
mod forms;
mod reader;
mod reference;
mod sections;
mod setting;
mod waits;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

pub use fault::{Fault, Faults};
pub use forms::{LogFormat, span};
pub use reader::Shown;
pub use reference::reference;
use sections::SealConfig;
pub use sections::{
    AdminConfig, AlertConfig, BreakerConfig, BrokerConfig, ConfirmConfig, FrontConfig, LedgerConfig,
    NidConfig, NumberConfig, OpencrvsConfig, RetentionConfig, SweepConfig, TelemetryConfig, TokenConfig,
};

pub use waits::Waits;

#[cfg(test)]
mod tests;

use reader::Reader;
use setting::Setting;

/// `proxy_read_timeout` of deploy/nginx.
const PROXY_PATIENCE: Duration = Duration::from_secs(30);

/// All settings of a process.
#[derive(Debug, Clone)]
pub struct Config {
    /// RabbitMQ.
    pub broker: BrokerConfig,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// What [`crate::seal::Sealer::parse`] reads; empty only for a [`Part::Tool`].
    pub seal_keys: SecretString,
    /// The front.
    pub front: FrontConfig,
    /// OpenCRVS.
    pub opencrvs: OpencrvsConfig,
    /// The National ID system.
    pub nid: NidConfig,
    /// The confirmer.
    pub confirm: ConfirmConfig,
    /// When what the bridge depends on is left alone.
    pub breaker: BreakerConfig,
    /// Registration numbers.
    pub number: NumberConfig,
    /// The sweeper.
    pub sweep: SweepConfig,
    /// Record tokens.
    pub token: TokenConfig,
    /// Alerts.
    pub alert: AlertConfig,
    /// How long what is sealed is kept.
    pub retention: RetentionConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// The admin listener.
    pub admin: AdminConfig,
}

/// What the configuration is for, which says what must be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A process that carries registrations: it needs keys to seal with.
    Role,
    /// A command that looks at something or sets something up.
    Tool,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// The environment.
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

/// A configuration that is right.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The settings as they may be shown.
    pub shown: Vec<Shown>,
    /// What is odd, but no fault.
    pub warnings: Vec<String>,
}

/// Reads the configuration.
///
/// # Errors
/// [`Faults`]: all that is wrong with it.
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
    match config {
        Some(config) if faults.is_empty() => {
            let mut warnings = near_misses(&sources.environment, &known);
            warnings.extend(empties(&sources.environment, &known, &shown));
            warnings.extend(config.oddities());
            Ok(Loaded { config, shown, warnings })
        }
        Some(_) | None => Err(Faults(faults)),
    }
}

/// Every setting, in the order of the reference.
fn settings() -> impl Iterator<Item = &'static Setting> {
    [
        FrontConfig::SETTINGS,
        OpencrvsConfig::SETTINGS,
        BrokerConfig::SETTINGS,
        LedgerConfig::SETTINGS,
        SealConfig::SETTINGS,
        NidConfig::SETTINGS,
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
        let broker = BrokerConfig::read(reader);
        let ledger = LedgerConfig::read(reader);
        let seal = SealConfig::read(reader);
        let nid = NidConfig::read(reader);
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
            nid: nid?,
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

    /// What is allowed between settings, and seldom meant.
    fn oddities(&self) -> Vec<String> {
        let mut odd = Vec::new();
        if let Some(wait) = self.front.wait.longest()
            && wait + self.front.hold >= PROXY_PATIENCE
        {
            odd.push(format!(
                "FRONT_WAIT ({wait:?}) and FRONT_HOLD ({:?}) together are not below {PROXY_PATIENCE:?}, after which the nginx \
                 that is shipped asks another front: raise its proxy_read_timeout as well",
                self.front.hold
            ));
        }
        odd
    }

    /// What must hold between settings.
    fn check(&self, part: Part, reader: &mut Reader<'_>) {
        let mut fault = |key: &str, why: String, fix: &str| {
            if let Some(setting) = settings().find(|setting| setting.key == key) {
                reader.fault(Fault::of(setting, why, fix));
            }
        };
        if part == Part::Role && self.seal_keys.expose_secret().is_empty() {
            let fix = "make one with `echo \"a:$(openssl rand -base64 32)\"` and give it to all processes";
            fault("seal.keys", "is not set".to_owned(), fix);
        }
        if self.confirm.lease <= self.opencrvs.timeout {
            let (lease, timeout) = (self.confirm.lease, self.opencrvs.timeout);
            let why = format!("{lease:?} is not longer than OPENCRVS_TIMEOUT ({timeout:?})");
            fault("confirm.lease", why, "make it longer: a lease must outlive the call that it is for");
        }
        if self.opencrvs.connect_timeout > self.opencrvs.timeout {
            let (connect, timeout) = (self.opencrvs.connect_timeout, self.opencrvs.timeout);
            let why = format!("{connect:?} is longer than OPENCRVS_TIMEOUT ({timeout:?})");
            fault("opencrvs.connect_timeout", why, "make it shorter");
        }
        if self.front.events && self.front.spool.is_none() {
            let why = "is not set, and FRONT_EVENTS is on: OpenCRVS would lose what the broker does not take"
                .to_owned();
            fault("front.spool", why, "name a directory of this front's own on a disk that lasts");
        }
        if self.confirm.identifier_field.is_some() && self.opencrvs.country_config_url.is_none() {
            let why =
                "is not set, and CONFIRM_IDENTIFIER_FIELD is: nobody could say whether the forms have it"
                    .to_owned();
            fault("opencrvs.country_config_url", why, "set the URL of the country's configuration service");
        }
        if self.breaker.pause > self.breaker.pause_max {
            let (pause, most) = (self.breaker.pause, self.breaker.pause_max);
            fault(
                "breaker.pause",
                format!("{pause:?} is longer than BREAKER_PAUSE_MAX ({most:?})"),
                "make it shorter",
            );
        }
        if self.front.body_memory < self.front.max_body {
            let why = format!("{} bytes cannot hold one body of FRONT_MAX_BODY", self.front.body_memory);
            fault("front.body_memory", why, "make it at least as large");
        }
    }
}

/// Variables that are set to nothing, so that a default holds which nobody may have meant.
fn empties(environment: &BTreeMap<String, String>, known: &[&Setting], shown: &[Shown]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (setting, shown) in known.iter().zip(shown) {
        if shown.origin != reader::DEFAULT || setting.default.is_empty() {
            continue;
        }
        let names = setting.env.iter().flat_map(|name| [(*name).to_owned(), format!("{name}_FILE")]);
        let empty = names.filter(|name| environment.get(name).is_some_and(String::is_empty));
        warnings.extend(empty.map(|name| {
            format!("{name} is empty, as if it were not set: the default holds, {}", shown.value)
        }));
    }
    warnings
}

/// Variables that are probably one of ours, misspelt.
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
