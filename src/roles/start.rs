//! What every process does before its own work, and after it.
//!
//! Invariant: a process that starts has a configuration without faults, logs, an admin listener and a way to be
//! stopped; the admin listener is the last to go.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Breakers, Failure, shutdown};
use crate::admin::{self, Readiness};
use crate::config::{self, Config, Loaded, Part, Sources};
use crate::telemetry::{self, Guard, Metrics};

/// What a role is given.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its settings.
    pub config: Arc<Config>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// What it depends on.
    pub breakers: Breakers,
    /// Whether it can do its work.
    pub readiness: Readiness,
    /// Cancelled when it is to stop: it then takes nothing new and finishes what it holds.
    pub stop: CancellationToken,
}

/// Runs a role until it is told to stop: configuration, logs, admin listener, then `body`.
///
/// # Errors
/// What `body` fails with, or what stands in the way of starting.
pub(crate) async fn role<F, Work>(
    (name, part): (&'static str, Part),
    file: Option<PathBuf>,
    body: F,
) -> Result<(), Failure>
where
    F: FnOnce(Process) -> Work,
    Work: Future<Output = Result<(), Failure>>,
{
    let (config, guard) = prepare(name, file, part)?;
    let metrics = Arc::new(Metrics::new());
    let process = Process {
        breakers: Breakers::new(&config, &metrics),
        config,
        metrics,
        readiness: Readiness::new(),
        stop: shutdown::on_signal().context("signals cannot be handled")?,
    };
    let done = beside_the_console(name, &process, body).await;
    guard.shutdown().await;
    done
}

/// Runs a command that carries no registrations: configuration and logs, no listener.
///
/// # Errors
/// As [`role`].
pub(crate) async fn tool<F, Work>(name: &'static str, file: Option<PathBuf>, body: F) -> Result<(), Failure>
where
    F: FnOnce(Arc<Config>, CancellationToken) -> Work,
    Work: Future<Output = Result<(), Failure>>,
{
    command(name, file, Part::Tool, body).await
}

/// The same for a command that needs all that a role needs, such as the keys.
///
/// # Errors
/// As [`role`].
pub(crate) async fn operation<F, Work>(
    name: &'static str,
    file: Option<PathBuf>,
    body: F,
) -> Result<(), Failure>
where
    F: FnOnce(Arc<Config>, CancellationToken) -> Work,
    Work: Future<Output = Result<(), Failure>>,
{
    command(name, file, Part::Operation, body).await
}

async fn command<F, Work>(
    name: &'static str,
    file: Option<PathBuf>,
    part: Part,
    body: F,
) -> Result<(), Failure>
where
    F: FnOnce(Arc<Config>, CancellationToken) -> Work,
    Work: Future<Output = Result<(), Failure>>,
{
    let (config, guard) = prepare(name, file, part)?;
    let stop = shutdown::on_signal().context("signals cannot be handled")?;
    let done = body(config, stop).await;
    guard.shutdown().await;
    done
}

fn prepare(name: &'static str, file: Option<PathBuf>, part: Part) -> Result<(Arc<Config>, Guard), Failure> {
    let Loaded { config, warnings, .. } = config::load(&Sources::of_process(file), part)?;
    let guard = telemetry::init(&config.telemetry, name).context("logs and traces cannot be set up")?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok((Arc::new(config), guard))
}

async fn beside_the_console<F, Work>(name: &'static str, process: &Process, body: F) -> Result<(), Failure>
where
    F: FnOnce(Process) -> Work,
    Work: Future<Output = Result<(), Failure>>,
{
    let open = CancellationToken::new();
    let console = open_console(process, open.clone()).await?;
    let draining = tell_when_draining(process);
    tracing::info!(role = name, version = env!("CARGO_PKG_VERSION"), "started");
    let done = body(process.clone()).await;
    draining.abort();
    open.cancel();
    if !matches!(console.await, Ok(Ok(()))) {
        tracing::warn!(role = name, "the admin listener (/metrics, /readyz) had failed before the end");
    }
    match &done {
        Ok(()) => tracing::info!(role = name, "stopped"),
        Err(_) => tracing::info!(role = name, "stopped by a failure"),
    }
    done
}

async fn open_console(
    process: &Process,
    until: CancellationToken,
) -> Result<JoinHandle<std::io::Result<()>>, Failure> {
    let address = process.config.admin.listen;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("ADMIN_LISTEN (admin.listen): {address} cannot be listened on"))
        .map_err(Failure::Unavailable)?;
    let (metrics, readiness) = (Arc::clone(&process.metrics), process.readiness.clone());
    Ok(tokio::spawn(admin::serve(listener, metrics, readiness, until)))
}

fn tell_when_draining(process: &Process) -> JoinHandle<()> {
    let (stop, readiness) = (process.stop.clone(), process.readiness.clone());
    tokio::spawn(async move {
        stop.cancelled().await;
        readiness.drain();
    })
}
