//! `nidbridge reconcile`: do OpenCRVS and the ledger agree on what is under way?
//!
//! Two kinds of orphan: what is open here and does not wait in OpenCRVS any more, which each record's own token tells;
//! and what waits in OpenCRVS and is not open here, which takes the token of a user, because only a user may list
//! records. A difference is told only when a second look at both sides confirms it and it is older than `--grace`, so
//! that what is just being worked on is none.
//!
//! Invariant: nothing is written, here or there, and nothing of a person is shown.

mod compare;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::opencrvs::{Gateway, UserToken};
use crate::roles::{Failure, parts, start};
use compare::Comparison;
use report::Report;

const REMARKS: &str = "\
Without --token-file only the first kind of orphan can be told, and it says so. The file holds the token of a user of \
OpenCRVS who may search (a registrar); it is read once and stored nowhere. A record that waits in OpenCRVS and is not \
known here may still be in the queue registrations.work or in the spool of a front.\n\n\
Exit codes: 0 both sides agree on all that could be told; 1 some could not be compared, and the rest agrees; 3 they \
differ; 69 ledger or gateway cannot be reached; 78 the configuration is wrong.";

/// `nidbridge reconcile`
#[derive(Debug, clap::Args)]
#[command(after_help = REMARKS)]
pub struct ReconcileArgs {
    /// A file with the token of a user of OpenCRVS who may search.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// What changed more recently than this counts as under way; longer than `CONFIRM_QUARANTINE`, in which a record waits for a
    /// write whose end is not known.
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = config::duration)]
    pub grace: Duration,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

pub(crate) async fn run(args: ReconcileArgs, file: Option<PathBuf>) -> Result<(), Failure> {
    start::operation("reconcile", file, async move |config, stop| {
        let user = args.token_file.as_deref().map(user_token).transpose()?;
        let report = compared(&config, user.as_ref(), args.grace, stop).await?;
        report.print(args.json)?;
        report.verdict()
    })
    .await
}

fn user_token(path: &Path) -> Result<UserToken, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("--token-file: {} cannot be read", path.display()))?;
    Ok(UserToken::read(&text, Timestamp::now())
        .with_context(|| format!("--token-file: {} cannot be used", path.display()))?)
}

async fn compared(
    config: &Config,
    user: Option<&UserToken>,
    grace: Duration,
    stop: CancellationToken,
) -> Result<Report, Failure> {
    let sealer = parts::sealer(config)?;
    let gateway = Gateway::new(&parts::client_settings(config, &config.opencrvs.gateway_url))
        .context("the gateway's client")?;
    let ledger = parts::operators_ledger(config, "reconcile", &sealer).await?;
    let comparison = Comparison { ledger: &ledger, gateway: &gateway, sealer: &sealer, user, grace };
    let report = tokio::select! {
        report = comparison.run() => report,
        () = stop.cancelled() => Err(Failure::Later(anyhow!("stopped before the end: nothing was compared"))),
    };
    ledger.close().await;
    report
}
