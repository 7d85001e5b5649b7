//! `nidbridge simulate`: the systems around the bridge, for integrators.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use crate::operate::output;
use crate::roles::{Failure, start};
use crate::sandbox::{nid, opencrvs};

#[derive(Debug, Subcommand)]
pub enum Simulate {
    /// A simulated OpenCRVS 1.7 to 2.1: auth, gateway, and registrars who register.
    Opencrvs(Box<opencrvs::OpencrvsArgs>),
    /// A simulated ID system on the queue contract.
    Nid(Box<nid::NidArgs>),
}

pub(crate) async fn run(command: Simulate, file: Option<PathBuf>) -> Result<(), Failure> {
    match command {
        Simulate::Opencrvs(args) => {
            start::tool("simulate-opencrvs", file, async |_, stop| {
                let seen = opencrvs::run(*args, stop).await.context("the simulated OpenCRVS")?;
                output::line(&serde_json::to_string(&seen).context("what it saw")?)
            })
            .await
        }
        Simulate::Nid(args) => {
            start::tool("simulate-nid", file, async |_, stop| {
                nid::run(*args, stop).await;
                Ok(())
            })
            .await
        }
    }
}
