//! `nidbridge confirmer`: tells OpenCRVS.

use std::sync::Arc;

use anyhow::Context as _;

use super::{Failure, Process, parts};
use crate::broker::{ConsumerSettings, WorkQueue, consume};
use crate::confirmer::{Confirmer, Rules};
use crate::opencrvs::Gateway;

/// Runs until it is told to stop.
pub(super) async fn run(process: Process) -> Result<(), Failure> {
    let Process { config, metrics, readiness, stop } = process;
    let config = &*config;
    let sealer = parts::sealer(config)?;
    // Held back until the link is watched, too: a process without conditions would count as ready.
    let opened = readiness.condition("ledger");
    let ledger = parts::ledger(config, "confirmer", &sealer).await?;
    let gateway = Gateway::new(&parts::client_settings(config, &config.opencrvs.gateway_url))
        .context("the gateway's client")?;
    let link = parts::bridge_link(config, "confirmer", &metrics);
    readiness.link("broker", link.state());
    opened.set(true);
    let topology = parts::topology_settings(config);
    let confirmer = Confirmer {
        ledger: ledger.clone(),
        sealer,
        gateway,
        rules: Rules {
            confirm_after: topology.confirm_after,
            lease: config.confirm.lease,
            quarantine: config.confirm.quarantine,
            negative: config.confirm.negative,
            identifier_type: config.confirm.identifier_type.clone(),
            comment: config.confirm.comment.clone(),
        },
        metrics,
    };
    let settings = ConsumerSettings::new(&config.broker, config.confirm.prefetch);
    consume(&link, &WorkQueue::outcomes(&topology), settings, Arc::new(confirmer), stop).await;
    link.close().await;
    ledger.close().await;
    Ok(())
}
