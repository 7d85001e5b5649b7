//! `nidbridge config`: shows, lists and checks the settings.

use std::path::PathBuf;

use clap::Subcommand;

use super::output;
use crate::config::{self, Part, Sources};
use crate::roles::Failure;

/// `nidbridge config …`
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Show the value of every setting and where it comes from. Secrets are not shown.
    Show,
    /// Print a reference of all settings, as a table in Markdown.
    Reference,
    /// Check the settings of all roles, without contacting anything.
    Check,
}

pub(crate) fn run(command: ConfigCommand, file: Option<PathBuf>) -> Result<(), Failure> {
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
            let loaded = config::load(&Sources::of_process(file), Part::All)?;
            for warning in loaded.warnings {
                output::line(&format!("warning: {warning}"))?;
            }
            if let Some(mapping) = loaded.config.confirm.mapping() {
                let setting = loaded.config.confirm.mapping_setting();
                output::line(&format!("{setting} writes: {mapping}"))?;
            }
            output::line(
                "every setting is valid. Nothing was contacted: whether broker, ledger, auth and gateway can be reached and accept us, \
                 and whether SEAL_KEYS belongs to this ledger, shows at the start (`nidbridge topology check` asks the broker, \
                 `nidbridge attempts list` the ledger)",
            )
        }
    }
}
