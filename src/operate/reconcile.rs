//! `nidbridge reconcile`: compares what is open in the ledger with what waits in OpenCRVS.
//!
//! There are two kinds of mismatch:
//! - An attempt is open here, but OpenCRVS does not wait for it. To find these, each record is read
//!   with its own token (FHIR generation).
//! - A record waits in OpenCRVS, but has no open attempt here. To find these, records are listed:
//!   with the token of a user in the FHIR generation, where only users may list records, and with
//!   the bridge's client in the events generation.
//!
//! A mismatch is reported only if a second read confirms it and it is older than `--grace`, so that
//! work in progress is not reported.
//!
//! Invariant: nothing is written, here or in OpenCRVS, except that `--take-in` publishes
//! registrations that the bridge has never had. (OpenCRVS itself notes which events were read.) No
//! personal data is shown.

mod compare;
mod mismatch;
mod report;
mod unheard;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;

use super::session::{self, Session, unless_stopped};
use crate::config;
use crate::confirmer::TakeIn;
use crate::ledger::Ledger;
use crate::opencrvs::events::SourceCheck;
use crate::opencrvs::fhir::{Gateway, UserToken};
use crate::roles::{Failure, parts, sources};
use compare::Comparison;
use unheard::Unheard;

const REMARKS: &str = "\
Without --token-file only records that are open here are compared. The file holds the token of a user of OpenCRVS who may \
search (a registrar); it is read once and stored nowhere. A record that waits in OpenCRVS and is not known here may still \
be in the queue registrations.work or in the spool of a front.\n\n\
With a client (OPENCRVS_CLIENT_ID) that may search and read, registrations of the events generation that the bridge has never \
had are found, too. --take-in takes them in as if a front had just accepted them; one that a front still holds may be among \
them, which does no harm.\n\n\
Exit codes: 0 both sides agree on all that could be compared; 1 some could not be compared, and the rest agrees; 3 they \
differ; 69 ledger or gateway cannot be reached; 75 stopped before the end, run it again; 78 the configuration is wrong.";

/// `nidbridge reconcile`
#[derive(Debug, clap::Args)]
#[command(after_help = REMARKS)]
pub struct ReconcileArgs {
    /// A file with the token of a user of OpenCRVS who may search.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Do not report a difference that is younger than this. Choose more than `CONFIRM_QUARANTINE`:
    /// for that time a record is not written again after a write whose result is unknown.
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = config::duration)]
    pub grace: Duration,
    /// Take in the registrations of the events generation that wait in OpenCRVS and that the bridge
    /// has never had.
    #[arg(long)]
    pub take_in: bool,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

pub(crate) async fn run(args: ReconcileArgs, file: Option<PathBuf>) -> Result<(), Failure> {
    session::with_keys("reconcile", file, async |session| reconcile(session, &args).await).await
}

async fn reconcile(session: &mut Session, args: &ReconcileArgs) -> Result<(), Failure> {
    let user = args.token_file.as_deref().map(user_token).transpose()?;
    let sealer = session.sealer()?;
    let gateway =
        Gateway::new(&parts::client_settings(&session.config, &session.config.opencrvs.gateway_url))
            .context("the HTTP client for the gateway cannot be made")?;
    let ledger = session.ledger("reconcile").await?;
    let comparison = Comparison {
        ledger: &ledger,
        gateway: &gateway,
        sealer: &sealer,
        user: user.as_ref(),
        grace: args.grace,
    };
    let unheard = unheard(session, args, &ledger).await?;
    let report = unless_stopped(&session.stop, async {
        let mut report = comparison.run().await?;
        if let Some(unheard) = &unheard {
            unheard.run(&mut report).await?;
        }
        Ok(report)
    })
    .await?;
    report.print(args.json)?;
    report.verdict()
}

/// Returns `None` if no client is configured.
async fn unheard(
    session: &mut Session,
    args: &ReconcileArgs,
    ledger: &Ledger,
) -> Result<Option<Unheard>, Failure> {
    let Some(client) = parts::system_client(&session.config)? else {
        return if args.take_in {
            Err(Failure::Misconfigured(anyhow!(
                "--take-in needs the bridge's client: set OPENCRVS_CLIENT_ID and OPENCRVS_CLIENT_SECRET"
            )))
        } else {
            Ok(None)
        };
    };
    let take_in = if args.take_in {
        Some(TakeIn { sealer: session.sealer()?, publisher: session.writing_link(ledger).await?.publisher() })
    } else {
        None
    };
    let reading = parts::reading(&session.config);
    if args.take_in
        && let Some(check) = parts::source_check(&session.config, &reading)?
    {
        learn_forms(&check).await?;
    }
    let search = parts::unheard_search(&session.config, ledger, args.grace, &reading)?;
    Ok(Some(Unheard { client, kinds: session.config.opencrvs.client_kinds.clone(), search, take_in }))
}

/// Reads the country's forms, which name the fields of the events' dates. Fails if a field of
/// `FIELDS_EVENTS` is missing, because registrations would be read wrongly.
async fn learn_forms(check: &SourceCheck) -> Result<(), Failure> {
    match check.missing().await {
        Ok(missing) if missing.is_empty() => Ok(()),
        Ok(missing) => Err(Failure::Misconfigured(anyhow!(sources::fault(&missing)))),
        Err(fault) => Err(Failure::Unavailable(anyhow!(fault))),
    }
}

fn user_token(path: &Path) -> Result<UserToken, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("--token-file: {} cannot be read", path.display()))?;
    Ok(UserToken::read(&text, Timestamp::now())
        .with_context(|| format!("--token-file: {} cannot be used", path.display()))?)
}
