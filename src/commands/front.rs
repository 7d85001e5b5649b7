//! `nidbridge front`: takes registrations.

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{Failure, Process, parts};
use crate::front::{Front, Limits, serve};
use crate::opencrvs::{KeyStore, KeyStoreSettings};

/// Runs until it is told to stop.
pub(super) async fn run(process: Process) -> Result<(), Failure> {
    let listener = listen(&process).await?;
    Ok(serve_on(listener, process).await?)
}

pub(super) async fn listen(process: &Process) -> Result<TcpListener, Failure> {
    let address = process.config.front.listen;
    TcpListener::bind(address)
        .await
        .with_context(|| format!("FRONT_LISTEN (front.listen): {address} cannot be listened on"))
        .map_err(Failure::Unavailable)
}

/// The same on a listener that is bound already.
pub(super) async fn serve_on(listener: TcpListener, process: Process) -> anyhow::Result<()> {
    let Process { config, metrics, stop, .. } = process;
    let config = &*config;
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
