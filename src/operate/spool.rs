//! `nidbridge spool`: what to do with a spool whose front will not come back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use tokio_util::sync::CancellationToken;

use super::output;
use crate::config::Config;
use crate::front::spool::{Drained, Spool, SpoolSettings};
use crate::roles::{Failure, parts, start};
use crate::telemetry::Metrics;

/// How long the broker may take nothing before we give up.
const PATIENCE: Duration = Duration::from_secs(15);

const RELAY: &str = "\
For a directory (FRONT_SPOOL) whose front will not come back: a front that starts on its own directory relays it by \
itself. Only the broker's settings are needed, no SEAL_KEYS. A file is deleted when the broker has confirmed its \
registration, so this can be broken off and repeated.\n\n\
Exit codes: 0 nothing is left; 1 files that cannot be read are now *.corrupt; 69 a front runs on the directory, or it \
cannot be used; 75 the broker took nothing for 15 seconds, and what is left is told; \
78 the broker refuses AMQP_URL.";

/// `nidbridge spool …`
#[derive(Debug, Subcommand)]
pub enum SpoolCommand {
    /// Gives the registrations of a directory to the broker, until none is left.
    #[command(after_help = RELAY)]
    Relay {
        /// The directory.
        directory: PathBuf,
    },
}

pub(crate) async fn run(command: SpoolCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    match command {
        SpoolCommand::Relay { directory } => {
            start::tool("spool", file, async move |config, stop| relay(&config, &directory, stop).await).await
        }
    }
}

async fn relay(config: &Config, directory: &Path, stop: CancellationToken) -> Result<(), Failure> {
    let metrics = Arc::new(Metrics::new());
    let settings = SpoolSettings { directory: directory.to_owned(), max: u64::MAX, rest: Duration::ZERO };
    let spool = Spool::open(settings, Arc::clone(&metrics))
        .await
        .map_err(|cause| Failure::Unavailable(anyhow::Error::from(cause)))?;
    if spool.files() == 0 {
        return output::line("nothing to relay");
    }
    let [door, _] = parts::doors(config, "spool");
    door.is_not_barred().await?;
    let link = parts::bridge_link(config, "spool", &metrics);
    let drained = spool.drain(&link.publisher(), PATIENCE, stop).await;
    link.close().await;
    tell(&drained)
}

fn tell(drained: &Drained) -> Result<(), Failure> {
    output::line(&format!("relayed {}", registrations(drained.relayed)))?;
    if let Some(left) = &drained.left {
        let left = anyhow!("{} left: {}", registrations(left.files), left.why);
        return Err(left).context("the broker did not take all of it").map_err(Failure::Later);
    }
    match drained.set_aside {
        0 => Ok(()),
        files => Err(Failure::Failed(anyhow!(
            "{} could not be relayed and stay as *.corrupt: look into them",
            registrations(files)
        ))),
    }
}

fn registrations(count: usize) -> String {
    format!("{count} {}", if count == 1 { "registration" } else { "registrations" })
}
