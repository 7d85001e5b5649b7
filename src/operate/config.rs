//! `nidbridge config`: what is set, what can be set, and whether it is right.

use std::path::PathBuf;

use clap::Subcommand;

use super::output;
use crate::config::{self, Part, Sources};
use crate::roles::Failure;

/// `nidbridge config …`
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Prints every setting as it holds here, and where it is from; secrets are not shown.
    Show,
    /// Prints every setting that there is, as a table in Markdown.
    Reference,
    /// Says whether every setting is right in itself; contacts nothing.
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
            output::line(
                "every setting is right in itself. Nothing was contacted: whether broker, ledger, auth and gateway are there and \
                 let us in, and whether SEAL_KEYS is of this ledger, shows at the start (`nidbridge topology check` asks the \
                 broker, `nidbridge attempts list` the ledger)",
            )
        }
    }
}
