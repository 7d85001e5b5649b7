//! `nidbridge opencrvs client`: shows what the bridge's client in OpenCRVS may do and what it
//! lacks.
//!
//! Invariant: nothing is changed, here or in OpenCRVS, and no secret is shown.

mod report;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::session::{self, Session, unless_stopped};
use crate::roles::{Failure, parts};
use report::ClientReport;

const CLIENT: &str = "\
Asks OpenCRVS for an access token with OPENCRVS_CLIENT_ID and OPENCRVS_CLIENT_SECRET, and lists the rights that it carries for \
each kind of event in OPENCRVS_CLIENT_KINDS. If OpenCRVS refuses the client or the client lacks a right, it also prints the \
request that registers the client, for an installation whose fronts do not (OPENCRVS_REGISTER_CLIENT).\n\n\
Exit codes: 0 the client has all rights; 1 OpenCRVS refuses the client or its secret; 3 it lacks rights; 69 OpenCRVS cannot be \
reached; 78 no client is configured.";

/// `nidbridge opencrvs …`
#[derive(Debug, Subcommand)]
pub enum OpencrvsCommand {
    /// Show what the bridge's client in OpenCRVS may do, and what it lacks.
    #[command(after_help = CLIENT)]
    Client(ClientArgs),
}

/// `nidbridge opencrvs client`
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

pub(crate) async fn run(command: OpencrvsCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    let OpencrvsCommand::Client(args) = command;
    session::without_keys("opencrvs", file, async |session| client(session, &args).await).await
}

async fn client(session: &mut Session, args: &ClientArgs) -> Result<(), Failure> {
    let config = &session.config;
    let client = parts::system_client(config)?.ok_or_else(|| {
        Failure::Misconfigured(anyhow!(
            "no client is configured: set OPENCRVS_CLIENT_ID (a UUID, such as `uuidgen` prints) and OPENCRVS_CLIENT_SECRET"
        ))
    })?;
    let token = unless_stopped(&session.stop, async { Ok(client.access_token().await) }).await?;
    let report = ClientReport::new(&config.opencrvs, &token);
    report.print(args.json)?;
    report.verdict(&token)
}
