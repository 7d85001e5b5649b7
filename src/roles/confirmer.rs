//! `nidbridge confirmer`: writes answers to OpenCRVS and keeps the record tokens valid.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::access::BrokerAccess;
use super::belonging::Belonging;
use super::breakers::Breakers;
use super::clock::ClockWatch;
use super::runner::Runner;
use super::{Failure, Process, parts, sources};
use crate::admin::Warning;
use crate::broker::Link;
use crate::config::Config;
use crate::confirmer::TakeIn;
use crate::confirmer::{
    ClientMonitor, Confirmer, ConfirmerBreakers, EventsSide, Keeper, KeeperRules, Rules, Unheard,
    UnheardRules,
};
use crate::ledger::RenewalRule;
use crate::opencrvs::Reading;
use crate::opencrvs::events::EventsClient;
use crate::opencrvs::fhir::Gateway;
use crate::pipeline::{DeploymentCheck, Member, NextHop, TopologySettings, queues};
use crate::telemetry::Metrics;

/// Runs until the process is to stop.
pub(crate) async fn run(process: Process) -> Result<(), Failure> {
    let Process { config, metrics, breakers, readiness, stop } = process;
    let config = &*config;
    // This condition is added first and met last, because a process without an unmet condition
    // counts as ready.
    let ledger_opened = readiness.condition("confirmer_ledger");
    let sealer = parts::sealer(config)?;
    let ledger = parts::ledger(config, "confirmer", &sealer).await?;
    let gateway = gateway(config)?;
    let check = DeploymentCheck::new(Member::WithLedger(ledger.deployment().to_owned()), &sealer);
    let link = parts::member_link(config, "confirmer", &metrics, &check);
    let belonging = Belonging::new(&check, readiness.condition("confirmer_deployment"), &metrics);
    let access =
        BrokerAccess::new(parts::BRIDGE_URL, &link, readiness.condition("confirmer_access"), &metrics);
    readiness.add_link("confirmer_broker", link.state());
    readiness.add_breakers(&[&breakers.ledger, &breakers.gateway, &breakers.auth]);
    ledger_opened.set(true);

    let (keys, topology) = (Arc::new(parts::auth(config)?.0), parts::topology_settings(config));
    let system = client_monitor(config)?;
    let events = events(config, system.clone()).await?;
    let confirmer = Confirmer {
        ledger: ledger.clone(),
        sealer: Arc::clone(&sealer),
        next: NextHop::new(ledger.clone(), link.publisher(), &topology),
        gateway: gateway.clone(),
        events,
        keys: Arc::clone(&keys),
        rules: rules(config, &topology),
        metrics: Arc::clone(&metrics),
        breakers: confirmer_breakers(&breakers),
    };
    let (events_client, reading) = (confirmer.events.client.clone(), parts::reading(config));
    let (keeper, alerts) = (keeper(config, &confirmer)?, parts::alerts(config, &ledger, &metrics)?);
    let unheard = unheard(config, &confirmer, &link, &reading)?;
    // Only the search for unheard registrations reads documents here.
    let sources = if unheard.is_some() { parts::source_check(config, &reading)? } else { None };
    let forms = sources.is_some().then(|| readiness.condition("confirmer_forms"));

    let mut runner = Runner::new(&config.broker, stop);
    runner.task(|stop| belonging.watch(stop));
    runner.task(|stop| access.watch(stop));
    watch_clock(&mut runner, config, readiness.warning("confirmer_clock"), &metrics)?;
    let (outcomes, prefetch) = (queues::outcomes(&topology), config.confirm.prefetch);
    let confirm = runner.consume(&link, outcomes, prefetch, Arc::new(confirmer));
    confirm.needs([&breakers.ledger, &breakers.gateway, &breakers.auth]);
    runner.background(|stop| async move { keeper.run(&stop).await });
    runner.background(|stop| async move { alerts.run(&stop).await });
    if let (Some(check), Some(ready)) = (sources, forms) {
        runner.background(|stop| sources::watch(check, ready, config.confirm.field_recheck, stop));
    }
    if let Some(unheard) = unheard {
        runner.background(|stop| async move { unheard.run(&stop).await });
    }
    runner.background(|stop| breakers.clone().probe_ledger(ledger.clone(), stop));
    runner.background(|stop| breakers.clone().probe_gateway(gateway, stop));
    runner.background(|stop| breakers.clone().probe_auth(keys, system.clone(), stop));
    if let Some(system) = system {
        runner.background(|stop| async move { system.watch(&events_client, &stop).await });
    }

    let result = runner.run().await;
    link.close().await;
    ledger.close().await;
    result
}

fn gateway(config: &Config) -> Result<Gateway, Failure> {
    let settings = parts::client_settings(config, &config.opencrvs.gateway_url);
    Ok(Gateway::new(&settings).context("the HTTP client for the gateway cannot be made")?)
}

fn watch_clock(
    runner: &mut Runner,
    config: &Config,
    warning: Warning,
    metrics: &Arc<Metrics>,
) -> Result<(), Failure> {
    let services = vec![parts::gateway_clock(config)?, parts::auth_clock(config)?];
    let clock = ClockWatch::new(config, services, warning, metrics);
    runner.background(|stop| clock.watch(stop));
    Ok(())
}

fn confirmer_breakers(breakers: &Breakers) -> ConfirmerBreakers {
    ConfirmerBreakers {
        ledger: breakers.ledger.clone(),
        gateway: breakers.gateway.clone(),
        auth: breakers.auth.clone(),
    }
}

fn client_monitor(config: &Config) -> Result<Option<Arc<ClientMonitor>>, Failure> {
    let client = parts::system_client(config)?;
    Ok(client.map(|client| Arc::new(ClientMonitor::new(client, config.token.interval))))
}

fn rules(config: &Config, topology: &TopologySettings) -> Rules {
    Rules {
        confirm_after: topology.confirm_after,
        visible_within: config.send.visible_within,
        lease: config.confirm.lease,
        quarantine: config.confirm.quarantine,
        has_client: parts::has_client(config),
        negative: config.confirm.negative,
        identifier_type: config.confirm.identifier_type.clone(),
        comment: config.confirm.comment.clone(),
        comment_unfit: config.confirm.comment_unfit.clone(),
    }
}

/// Makes the part that answers in the events dialect, and checks the fields that answers write: the
/// role does not start if the country's forms lack one of them. If the country's configuration
/// service cannot be asked, the fields are checked before the first write.
async fn events(config: &Config, system: Option<Arc<ClientMonitor>>) -> Result<EventsSide, Failure> {
    let client = EventsClient::new(&parts::client_settings(config, &config.opencrvs.gateway_url))
        .context("the HTTP client for the events service cannot be made")?;
    let fields = parts::mapped_fields(config)?;
    if let Some(fields) = &fields {
        match fields.missing().await {
            Ok(missing) if missing.is_empty() => {
                tracing::info!(mapping = %fields.mapping(), "the country's forms define every field that an answer writes");
            }
            Ok(missing) => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                return Err(Failure::Unavailable(anyhow!(
                    "{}: the country's forms do not define {}; writing that would break records for good. Add it to \
                     the country's forms, or correct the setting",
                    config.confirm.mapping_setting(),
                    missing.join(", ")
                )));
            }
            Err(fault) => {
                tracing::warn!(
                    error = %fault,
                    "the country's forms could not be read: fields are checked before the first answer that writes them"
                );
            }
        }
    }
    Ok(EventsSide { client, system, fields, reasons: config.confirm.reasons })
}

/// Returns `None` if no client is configured.
fn unheard(
    config: &Config,
    confirmer: &Confirmer,
    link: &Link,
    reading: &Reading,
) -> Result<Option<Unheard>, Failure> {
    let Some(client) = confirmer.events.system.clone() else { return Ok(None) };
    Ok(Some(Unheard {
        client,
        search: parts::unheard_search(config, &confirmer.ledger, config.opencrvs.unheard_after, reading)?,
        take_in: TakeIn { sealer: Arc::clone(&confirmer.sealer), publisher: link.publisher() },
        bridge: link.clone(),
        registrations: queues::registrations(&parts::topology_settings(config)),
        gateway: confirmer.breakers.gateway.clone(),
        metrics: Arc::clone(&confirmer.metrics),
        rules: UnheardRules {
            interval: config.opencrvs.unheard_interval,
            kinds: config.opencrvs.client_kinds.clone(),
            call_timeout: config.opencrvs.timeout,
        },
    }))
}

fn keeper(config: &Config, confirmer: &Confirmer) -> Result<Keeper, Failure> {
    let (keys, exchange) = parts::auth(config)?;
    Ok(Keeper {
        ledger: confirmer.ledger.clone(),
        sealer: Arc::clone(&confirmer.sealer),
        keys,
        exchange,
        client: confirmer.events.system.clone(),
        metrics: Arc::clone(&confirmer.metrics),
        rules: KeeperRules {
            interval: config.token.interval,
            batch: usize::try_from(config.token.batch).unwrap_or(usize::MAX),
            due: RenewalRule { at_percent: config.token.renew_at, until: config.token.renew_until },
            call_timeout: config.opencrvs.timeout,
        },
    })
}
