//! `nidbridge front`: takes registrations.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::parts;
use crate::config::Config;
use crate::front::{Front, Limits, serve};
use crate::opencrvs::{KeyStore, KeyStoreSettings};
use crate::telemetry::Metrics;

/// Runs until `stop`, on a listener that is bound already.
///
/// # Errors
/// When the listener fails or the configuration does not hold.
pub async fn run(
    config: &Config,
    listener: TcpListener,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let sealer = parts::sealer(config)?;
    let keys = KeyStore::new(KeyStoreSettings {
        auth: parts::client_settings(config, &config.opencrvs.auth_url),
        refetch: config.opencrvs.key_refetch,
        cache: config.front.key_cache.clone(),
    })
    .context("the client of auth")?;
    let link = parts::bridge_link(config, "front", &metrics);
    let limits = Limits {
        max_body: config.front.max_body,
        body_memory: config.front.body_memory,
        hold: config.front.hold,
    };
    let front = Front { keys, sealer, publisher: link.publisher(), metrics, limits };
    serve(listener, front, stop).await.context("the front's listener failed")?;
    link.close().await;
    Ok(())
}
