//! `nidbridge front`: accepts registrations from OpenCRVS over HTTP.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::acceptance::AcceptanceWatch;
use super::access::BrokerAccess;
use super::belonging::Belonging;
use super::runner::Runner;
use super::{Failure, Process, files, parts, set_aside, sources};
use crate::admin::Warning;
use crate::broker::{self, Publisher};
use crate::config::Config;
use crate::front::passthrough::{Passthrough, PassthroughSettings};
use crate::front::spool::{Spool, SpoolSettings, Trust};
use crate::front::{ClientRegistration, Front, Limits, NumberHeader, SyncAnswers, WaitingCallers, serve};
use crate::listener::ListenerSettings;
use crate::opencrvs::{Integrations, KeyStore, KeyStoreSettings, WantedClient};
use crate::pipeline::{DeploymentCheck, Member, queues};
use crate::seal::Sealer;
use crate::telemetry::Metrics;

/// Runs until the process is to stop.
pub(crate) async fn run(process: Process) -> Result<(), Failure> {
    let listener = listen(&process).await?;
    serve_on(listener, process).await
}

pub(crate) async fn listen(process: &Process) -> Result<TcpListener, Failure> {
    let listening = process.readiness.condition("listener");
    let address = process.config.front.listen;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("FRONT_LISTEN (front.listen): {address} cannot be listened on"))
        .map_err(Failure::Unavailable)?;
    listening.set(true);
    Ok(listener)
}

/// Runs on a listener that is already bound.
pub(crate) async fn serve_on(listener: TcpListener, process: Process) -> Result<(), Failure> {
    let Process { config, metrics, readiness, stop, .. } = process;
    let config = &*config;
    // A front is ready while the broker is away: it has its spool, and a caller is better off with
    // an answer. It is not ready while the broker refuses it.
    let open = readiness.condition("front");
    let (sealer, keys) = (parts::sealer(config)?, Arc::new(keys(config)?));
    let spool = match &config.front.spool {
        Some(directory) => Some(spool(config, directory, &sealer, &metrics).await?),
        None => None,
    };
    let check = DeploymentCheck::new(Member::Front, &sealer);
    recall(spool.as_ref(), &check).await;
    let link = parts::member_link(config, "front", &metrics, &check);
    let belonging = Belonging::new(&check, readiness.condition("front_deployment"), &metrics);
    let access = BrokerAccess::new(parts::BRIDGE_URL, &link, readiness.condition("front_broker"), &metrics);
    let acceptance = AcceptanceWatch::new(config, &keys, &readiness, &metrics)?;
    let (all_refused, refusals) = watch::channel(None);
    let publisher = link.publisher();
    let reading = parts::reading(config);
    let sources = if config.front.events { parts::source_check(config, &reading)? } else { None };
    let forms = sources.is_some().then(|| readiness.condition("front_forms"));
    let waiting = waiting_callers(config, &metrics);
    let front = Front {
        keys,
        sealer,
        reading,
        publisher: publisher.clone(),
        admission: check.admission(),
        spool: spool.clone(),
        events: config.front.events,
        sync_answers: sync_answers(config, waiting.as_ref())?,
        client_registration: client_registration(config)?,
        passthrough: passthrough(config, &metrics)?,
        number_header: number_header(config),
        all_refused,
        metrics,
        limits: limits(config),
    };
    open.set(true);

    let mut runner = Runner::new(&config.broker, stop);
    runner.task(|stop| belonging.watch(stop));
    runner.task(|stop| access.watch(stop));
    acceptance.run(&mut runner, refusals);
    if let Some(spool) = spool {
        run_spool(&mut runner, spool, publisher, &check, readiness.warning("front_spool"));
    }
    if let (Some(check), Some(ready)) = (sources, forms) {
        let recheck = config.confirm.field_recheck;
        runner.background(|stop| sources::watch(check, ready, recheck, stop));
    }
    if let Some(waiting) = waiting {
        let link = link.clone();
        runner.background(|stop| async move {
            broker::listen(&link, queues::answers(), waiting.as_ref(), &stop).await;
        });
    }
    runner.background(|stop| serve(listener, front, stop));
    let result = runner.run().await;
    link.close().await;
    result
}

/// Lets a front that the broker admitted earlier spool before it has reached the broker again.
async fn recall(spool: Option<&Spool>, check: &DeploymentCheck) {
    if let Some(spool) = spool
        && spool.remembers(&check.sealing_key()).await
    {
        check.admitted_earlier();
    }
}

fn run_spool(
    runner: &mut Runner,
    spool: Spool,
    publisher: Publisher,
    check: &DeploymentCheck,
    warning: Warning,
) {
    let aside = spool.clone();
    runner.background(|stop| set_aside::watch(aside, warning, stop));
    let (remembering, key, admission) = (spool.clone(), check.sealing_key(), check.admission());
    runner.background(|stop| async move { remembering.remember(key, admission, stop).await });
    runner.background(|stop| async move { spool.relay(&publisher, stop).await });
}

fn keys(config: &Config) -> Result<KeyStore, Failure> {
    let settings = KeyStoreSettings {
        auth: parts::client_settings(config, &config.opencrvs.auth_url),
        refetch: config.opencrvs.key_refetch,
        cache: config.front.key_cache.clone(),
        service_users: config.opencrvs.service_user.clone(),
    };
    Ok(KeyStore::new(settings).context("the HTTP client for auth cannot be made")?)
}

fn limits(config: &Config) -> Limits {
    let proxied = config.opencrvs.country_config_url.as_ref().map_or(0, |_| config.front.pass_limit);
    Limits {
        max_body: config.front.max_body,
        body_memory: config.front.body_memory,
        body_timeout: config.front.body_timeout,
        body_rate: config.front.body_rate,
        memory_wait: config.front.memory_wait,
        hold: config.front.hold,
        listener: ListenerSettings {
            name: "front",
            connections: files::front_connections(config.front.connections, proxied),
            head_timeout: config.front.head_timeout,
            write_timeout: config.front.pass_patience,
        },
        drain: config.broker.drain,
    }
}

fn number_header(config: &Config) -> NumberHeader {
    match (&config.number.header_secret, config.number.header) {
        (Some(secret), _) => NumberHeader::WithSecret(secret.clone()),
        (None, true) => NumberHeader::On,
        (None, false) => NumberHeader::Off,
    }
}

/// Returns `None` if the settings let no caller wait for a sync answer.
fn waiting_callers(config: &Config, metrics: &Arc<Metrics>) -> Option<Arc<WaitingCallers>> {
    config.front.wait.longest()?;
    let limit = usize::try_from(config.front.waiters).unwrap_or(usize::MAX);
    Some(Arc::new(WaitingCallers::new(limit, Arc::clone(metrics))))
}

fn sync_answers(
    config: &Config,
    waiting: Option<&Arc<WaitingCallers>>,
) -> Result<Option<SyncAnswers>, Failure> {
    let Some(waiting) = waiting else { return Ok(None) };
    Ok(Some(SyncAnswers {
        waits: config.front.wait.clone(),
        waiting: Arc::clone(waiting),
        identifier_type: config.confirm.identifier_type.clone(),
        fields: parts::mapped_fields(config)?,
        negative: config.confirm.negative,
    }))
}

/// Returns `None` unless the settings let the bridge register its client.
fn client_registration(config: &Config) -> Result<Option<ClientRegistration>, Failure> {
    let settings = &config.opencrvs;
    let Some(credentials) = parts::client_credentials(config).filter(|_| settings.register_client) else {
        return Ok(None);
    };
    let events = parts::client_settings(config, &settings.events_url);
    let integrations =
        Integrations::new(&events).context("the HTTP client for the events service cannot be made")?;
    let client = WantedClient {
        name: settings.client_name.clone(),
        credentials,
        kinds: settings.client_kinds.clone(),
    };
    Ok(Some(ClientRegistration { integrations, client }))
}

fn passthrough(config: &Config, metrics: &Arc<Metrics>) -> Result<Option<Passthrough>, Failure> {
    let Some(upstream) = &config.opencrvs.country_config_url else { return Ok(None) };
    let settings = PassthroughSettings {
        upstream: upstream.clone(),
        connect_timeout: config.opencrvs.connect_timeout,
        idle_timeout: config.front.pass_patience,
        limit: usize::try_from(config.front.pass_limit).unwrap_or(usize::MAX),
        trusted_proxies: config.front.trusted_proxies.clone(),
    };
    let passthrough = Passthrough::new(&settings, Arc::clone(metrics));
    Ok(Some(passthrough.context("COUNTRY_CONFIG_URL (opencrvs.country_config_url)")?))
}

async fn spool(
    config: &Config,
    directory: &Path,
    sealer: &Sealer,
    metrics: &Arc<Metrics>,
) -> Result<Spool, Failure> {
    let settings = SpoolSettings {
        directory: directory.to_owned(),
        max: u64::try_from(config.front.spool_max).unwrap_or(u64::MAX),
        min_age: parts::topology_settings(config).confirm_after,
        trust: Trust { keys: sealer.file_keys(), unsigned: config.front.spool_unsigned },
    };
    Spool::open(settings, Arc::clone(metrics))
        .await
        .context("FRONT_SPOOL (front.spool)")
        .map_err(Failure::Unavailable)
}
