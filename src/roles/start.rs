//! What every process does before its own work and after it: configuration, logs, signals, admin
//! listener.
//!
//! Invariant: a role runs only with a valid configuration, logs, an admin listener and signal
//! handlers. The admin listener closes last.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Breakers, Failure, files, parts, shutdown};
use crate::admin::{self, Readiness};
use crate::config::{self, Config, Loaded, Part, Sources};
use crate::telemetry::{self, Guard, Metrics};

/// What a role is given.
#[derive(Debug, Clone)]
pub struct Process {
    pub config: Arc<Config>,
    pub metrics: Arc<Metrics>,
    pub breakers: Breakers,
    pub readiness: Readiness,
    /// Cancelled when the process is to stop: it then begins nothing new and finishes the work that
    /// it has.
    pub stop: CancellationToken,
}

/// Starts a role and runs it until the process is to stop.
///
/// # Errors
/// The failure of `body`, or why the role cannot start.
pub(crate) async fn role<F, Work>(
    name: &'static str,
    part: Part,
    file: Option<PathBuf>,
    body: F,
) -> Result<(), Failure>
where
    F: FnOnce(Process) -> Work,
    Work: Future<Output = Result<(), Failure>>,
{
    let (config, guard) = prepare(name, file, part)?;
    files::raise_limit();
    let metrics = Arc::new(Metrics::new());
    let process = Process {
        breakers: Breakers::new(&config, &metrics),
        config,
        metrics,
        readiness: Readiness::new(),
        stop: shutdown::on_signal().context("signals cannot be handled")?,
    };
    let done = with_admin_listener(name, &process, body).await;
    guard.shutdown().await;
    done
}

/// Runs a command that needs no keys. It gets configuration, logs and signal handlers, but no admin
/// listener.
///
/// # Errors
/// The same as for [`role`].
pub(crate) async fn tool<F, Work>(name: &'static str, file: Option<PathBuf>, body: F) -> Result<(), Failure>
where
    F: FnOnce(Arc<Config>, CancellationToken) -> Work,
    Work: Future<Output = Result<(), Failure>>,
{
    command(name, file, Part::Tool, body).await
}

/// Runs a command that needs the settings of a role, such as the keys.
///
/// # Errors
/// The same as for [`role`].
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
    files::keep_private();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok((Arc::new(config), guard))
}

async fn with_admin_listener<F, Work>(name: &'static str, process: &Process, body: F) -> Result<(), Failure>
where
    F: FnOnce(Process) -> Work,
    Work: Future<Output = Result<(), Failure>>,
{
    let Process { config, metrics, readiness, .. } = process;
    let (alerts, ended) =
        (parts::process_alerts(config, name, metrics, readiness)?, CancellationToken::new());
    let alerting = alerts.map(|alerts| tokio::spawn(alerts.run(ended.clone())));
    let close = CancellationToken::new();
    // Without an unmet condition the process would count as ready.
    let starting = readiness.condition("start");
    let listener = serve_admin(process, close.clone()).await?;
    let draining = drain_on_stop(process);
    tracing::info!(role = name, version = env!("CARGO_PKG_VERSION"), "started");
    let mut work = std::pin::pin!(body(process.clone()));
    // A role adds its own conditions before it first waits for anything.
    let begun = futures_util::poll!(&mut work);
    starting.set(true);
    let done = match begun {
        Poll::Ready(done) => done,
        Poll::Pending => work.await,
    };
    draining.abort();
    ended.cancel();
    if let Some(alerting) = alerting
        && alerting.await.is_err()
    {
        tracing::warn!(role = name, "the task that alerts of this process had failed before the end");
    }
    close.cancel();
    if listener.await.is_err() {
        tracing::warn!(role = name, "the admin listener (/metrics, /readyz) had failed before the end");
    }
    match &done {
        Ok(()) => tracing::info!(role = name, "stopped"),
        Err(_) => tracing::info!(role = name, "stopped by a failure"),
    }
    done
}

async fn serve_admin(process: &Process, stop: CancellationToken) -> Result<JoinHandle<()>, Failure> {
    let address = process.config.admin.listen;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("ADMIN_LISTEN (admin.listen): {address} cannot be listened on"))
        .map_err(Failure::Unavailable)?;
    let (metrics, readiness) = (Arc::clone(&process.metrics), process.readiness.clone());
    Ok(tokio::spawn(admin::serve(listener, metrics, readiness, stop)))
}

fn drain_on_stop(process: &Process) -> JoinHandle<()> {
    let (stop, readiness) = (process.stop.clone(), process.readiness.clone());
    tokio::spawn(async move {
        stop.cancelled().await;
        readiness.drain();
    })
}
