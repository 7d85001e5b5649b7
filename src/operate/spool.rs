//! `nidbridge spool relay`: publishes the spool of a front that will not come back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Subcommand;

use super::output;
use super::session::{self, Session};
use crate::front::spool::{Drained, Spool, SpoolSettings, Trust};
use crate::pipeline::{DeploymentCheck, Member};
use crate::roles::{Failure, parts};
use crate::telemetry::Metrics;

/// How long the broker may accept nothing before the command gives up.
const BROKER_WAIT: Duration = Duration::from_secs(15);

const RELAY: &str = "\
For a directory (FRONT_SPOOL) whose front will not come back; a front that starts on its own directory relays it by \
itself. The broker's settings and the keys of that front are needed, because only what the front wrote is published. A file is \
deleted when the broker has confirmed its registration, so this can be stopped and repeated.\n\n\
Exit codes: 0 nothing is left; 1 files that cannot be read, or that no front with these keys wrote, are now *.corrupt; 69 a front \
uses the directory, or it cannot be opened; 75 the broker accepted nothing for 15 seconds, and it says how many are left; 78 the \
broker refuses AMQP_URL, or its other roles have other keys.";

/// `nidbridge spool …`
#[derive(Debug, Subcommand)]
pub enum SpoolCommand {
    /// Publish the registrations in a spool directory until none is left.
    #[command(after_help = RELAY)]
    Relay {
        /// The spool directory.
        directory: PathBuf,
    },
}

pub(crate) async fn run(command: SpoolCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    let SpoolCommand::Relay { directory } = command;
    session::with_keys("spool", file, async |session| relay(session, &directory).await).await
}

async fn relay(session: &mut Session, directory: &Path) -> Result<(), Failure> {
    let metrics = Arc::new(Metrics::new());
    let sealer = session.sealer()?;
    let trust = Trust { keys: sealer.file_keys(), unsigned: session.config.front.spool_unsigned };
    let directory = directory.to_owned();
    let settings = SpoolSettings { directory, max: u64::MAX, min_age: Duration::ZERO, trust };
    let spool = Spool::open(settings, Arc::clone(&metrics))
        .await
        .map_err(|cause| Failure::Unavailable(anyhow::Error::from(cause)))?;
    if spool.files() == 0 {
        return output::line("nothing to relay");
    }
    let [endpoint, _] = parts::broker_endpoints(&session.config, "spool");
    session::not_refused(&endpoint).await?;
    // `drain` waits for a broker that is away, and reports what is left. With other keys than those
    // of the broker's roles, every file would be set aside.
    let check = DeploymentCheck::new(Member::Front, &sealer);
    let link = parts::member_link(&session.config, "spool", &metrics, &check);
    session.keep(&link);
    let publisher = link.publisher();
    tokio::select! {
        drained = spool.drain(&publisher, BROKER_WAIT, session.stop.clone()) => report(&drained),
        why = check.refused() => Err(Failure::Misconfigured(anyhow!(why).context("nothing was relayed"))),
    }
}

fn report(drained: &Drained) -> Result<(), Failure> {
    output::line(&format!("relayed {}", registrations(drained.relayed)))?;
    if let Some(left) = &drained.left {
        let left = anyhow!("{} left: {}", registrations(left.files), left.why);
        return Err(left).context("the broker did not accept all of them").map_err(Failure::Later);
    }
    match drained.set_aside {
        0 => Ok(()),
        files => Err(Failure::Failed(anyhow!(
            "{} could not be relayed and stay as *.corrupt: see `nidbridge causes spool_corrupt`",
            registrations(files)
        ))),
    }
}

fn registrations(count: usize) -> String {
    format!("{count} {}", if count == 1 { "registration" } else { "registrations" })
}
