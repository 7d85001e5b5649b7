//! `nidbridge config`: shows, lists and checks the settings.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Subcommand;

use super::output;
use crate::config::{self, Config, Part, Sources};
use crate::roles::{Failure, parts, sources};

/// `nidbridge config …`
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Show the value of every setting and where it comes from. Secrets are not shown.
    Show,
    /// Print a reference of all settings, as a table in Markdown.
    Reference,
    /// Check the settings of all roles, and warn of demonstration secrets, the user `guest`, and
    /// URLs of other machines without encryption. With `FRONT_EVENTS`, also check that the
    /// country's forms have the fields of `FIELDS_EVENTS`; nothing else is contacted.
    Check,
}

pub(crate) async fn run(command: ConfigCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    match command {
        ConfigCommand::Reference => output::line(config::reference().trim_end()),
        ConfigCommand::Show => {
            let loaded = config::load(&Sources::of_process(file), Part::Tool)?;
            for shown in loaded.shown {
                output::line(&format!("{} = {} (from {})", shown.key, shown.value, shown.origin))?;
            }
            Ok(())
        }
        ConfigCommand::Check => {
            let loaded = config::load(&Sources::of_process(file.clone()), Part::All)?;
            for warning in loaded.warnings.iter().chain(&loaded.exposures) {
                output::line(&format!("warning: {warning}"))?;
            }
            for warning in of_single_roles(&Sources::of_process(file), &loaded.warnings) {
                output::line(&format!("warning: {warning}"))?;
            }
            if let Some(mapping) = loaded.config.confirm.mapping() {
                let setting = loaded.config.confirm.mapping_setting();
                output::line(&format!("{setting} writes: {mapping}"))?;
            }
            let contacted = check_sources(&loaded.config).await?;
            output::line(&format!(
                "every setting is valid. {contacted} was contacted: whether broker, ledger, auth and gateway can be reached, and whether \
                 SEAL_KEYS belongs to this ledger, shows only when a role starts (`nidbridge topology check` tries the broker, \
                 `nidbridge attempts list` the ledger)",
            ))
        }
    }
}

/// Faults and warnings that concern a worker or a confirmer only if it is a process of its own.
/// `known` are those of all roles in one process.
fn of_single_roles(sources: &Sources, known: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (part, role) in [(Part::Worker, "worker"), (Part::Confirmer, "confirmer")] {
        let more = match config::load(sources, part) {
            Ok(loaded) => loaded.warnings,
            Err(faults) => faults.0.iter().map(ToString::to_string).collect(),
        };
        let more = more.into_iter().filter(|one| !known.contains(one));
        found.extend(more.map(|one| format!("`nidbridge {role}` as a process of its own: {one}")));
    }
    found
}

/// Shows from which fields registrations are read, and checks that the country's forms have them.
/// Returns what was contacted.
async fn check_sources(config: &Config) -> Result<&'static str, Failure> {
    let reading = parts::reading(config);
    output::line(&format!("{} reads: {}", sources::SETTING, reading.events))?;
    output::line(&format!("FIELDS_FHIR (fields.fhir) reads: {}", reading.fhir))?;
    let check = if config.front.events { parts::source_check(config, &reading)? } else { None };
    let Some(check) = check else {
        if config.front.events {
            output::line(
                "whether the country's forms have these fields was not checked: COUNTRY_CONFIG_URL is not set",
            )?;
        }
        return Ok("Nothing");
    };
    match check.missing().await {
        Ok(missing) if missing.is_empty() => output::line("the country's forms have all of these fields")?,
        Ok(missing) => return Err(Failure::Misconfigured(anyhow!(sources::fault(&missing)))),
        Err(fault) => {
            output::line(&format!("whether the country's forms have these fields is not known: {fault}"))?;
        }
    }
    Ok("Only the country's configuration service")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_or_a_confirmer_alone_lacks_is_reported() {
        let found = |settings: &[(&str, &str)]| {
            let pairs = [("SEAL_KEYS", "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")];
            let environment =
                pairs.iter().chain(settings).map(|(name, value)| (name.to_string(), value.to_string()));
            of_single_roles(&Sources { file: None, environment: environment.collect() }, &[])
        };
        let nothing_set = found(&[]);
        assert_eq!(nothing_set.len(), 2, "{nothing_set:?}");
        assert!(nothing_set.iter().all(|one| one.contains("LEDGER_URL (ledger.url): is not set")));
        let ledger = ("LEDGER_URL", "sqlite://ledger.db");
        let no_gateway = found(&[ledger]);
        assert!(no_gateway.len() == 1 && no_gateway[0].contains("GATEWAY_URL is not set for this worker"));
        assert!(found(&[ledger, ("GATEWAY_URL", "http://gateway:7070")]).is_empty());
    }
}
