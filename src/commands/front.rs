//! `nidbridge front`: takes registrations.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{Failure, Process, parts};
use crate::config::Config;
use crate::front::passthrough::{Passthrough, PassthroughSettings};
use crate::front::spool::{Spool, SpoolSettings};
use crate::front::{Front, Limits, serve};
use crate::opencrvs::{KeyStore, KeyStoreSettings};
use crate::telemetry::Metrics;

/// Runs until it is told to stop.
pub(super) async fn run(process: Process) -> Result<(), Failure> {
    let listener = listen(&process).await?;
    serve_on(listener, process).await
}

pub(super) async fn listen(process: &Process) -> Result<TcpListener, Failure> {
    let listening = process.readiness.condition("listener");
    let address = process.config.front.listen;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("FRONT_LISTEN (front.listen): {address} cannot be listened on"))
        .map_err(Failure::Unavailable)?;
    listening.set(true);
    Ok(listener)
}

/// The same on a listener that is bound already.
pub(super) async fn serve_on(listener: TcpListener, process: Process) -> Result<(), Failure> {
    let Process { config, metrics, readiness, stop, .. } = process;
    // Never the broker: without it a front still has its spool, and a caller that is answered is better off.
    let open = readiness.condition("front");
    let config = &*config;
    let sealer = parts::sealer(config)?;
    let keys = KeyStore::new(KeyStoreSettings {
        auth: parts::client_settings(config, &config.opencrvs.auth_url),
        refetch: config.opencrvs.key_refetch,
        cache: config.front.key_cache.clone(),
    })
    .context("the client of auth")?;
    let spool = match &config.front.spool {
        Some(directory) => Some(spool(config, directory, &metrics).await?),
        None => None,
    };
    let link = parts::bridge_link(config, "front", &metrics);
    let limits = Limits {
        max_body: config.front.max_body,
        body_memory: config.front.body_memory,
        body_timeout: config.front.body_timeout,
        hold: config.front.hold,
        drain: config.broker.drain,
    };
    let publisher = link.publisher();
    let passthrough = config.opencrvs.country_config_url.as_ref().map(|upstream| {
        let settings = PassthroughSettings {
            upstream: upstream.clone(),
            connect_timeout: config.opencrvs.connect_timeout,
            patience: config.front.pass_patience,
            limit: usize::try_from(config.front.pass_limit).unwrap_or(usize::MAX),
        };
        Passthrough::new(&settings, Arc::clone(&metrics))
    });
    let front = Front {
        keys,
        sealer,
        publisher: publisher.clone(),
        spool: spool.clone(),
        events: config.front.events,
        passthrough: passthrough.transpose().context("the client of COUNTRY_CONFIG_URL")?,
        metrics,
        limits,
    };
    open.set(true);
    let (done, relaying) = (stop.child_token(), stop.child_token());
    let serving = async {
        let served = serve(listener, front, done).await.context("the front's listener failed");
        relaying.cancel();
        served
    };
    let relay = async {
        if let Some(spool) = &spool {
            spool.relay(&publisher, relaying.clone()).await;
        }
    };
    let (served, ()) = tokio::join!(serving, relay);
    link.close().await;
    Ok(served?)
}

async fn spool(config: &Config, directory: &Path, metrics: &Arc<Metrics>) -> Result<Spool, Failure> {
    let settings = SpoolSettings {
        directory: directory.to_owned(),
        max: u64::try_from(config.front.spool_max).unwrap_or(u64::MAX),
        rest: parts::topology_settings(config).confirm_after,
    };
    Spool::open(settings, Arc::clone(metrics))
        .await
        .context("FRONT_SPOOL (front.spool)")
        .map_err(Failure::Unavailable)
}
