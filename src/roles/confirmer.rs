//! `nidbridge confirmer`: writes answers to OpenCRVS and keeps the record tokens valid.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::runner::Runner;
use super::{Failure, Process, parts};
use crate::config::Config;
use crate::confirmer::{Confirmer, ConfirmerBreakers, EventsSide, Keeper, KeeperRules, Rules};
use crate::ledger::{Ledger, RenewalRule};
use crate::opencrvs::events::EventsClient;
use crate::opencrvs::fhir::Gateway;
use crate::pipeline::{TopologySettings, queues};
use crate::seal::Sealer;
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
    let gateway = Gateway::new(&parts::client_settings(config, &config.opencrvs.gateway_url))
        .context("the HTTP client for the gateway cannot be made")?;
    let link = parts::bridge_link(config, "confirmer", &metrics);
    readiness.add_link("confirmer_broker", link.state());
    readiness.add_breakers(&[&breakers.ledger, &breakers.gateway, &breakers.auth]);
    ledger_opened.set(true);

    let (keys, _) = parts::auth(config)?;
    let keys = Arc::new(keys);
    let topology = parts::topology_settings(config);
    let confirmer = Confirmer {
        ledger: ledger.clone(),
        sealer: Arc::clone(&sealer),
        gateway: gateway.clone(),
        events: events(config).await?,
        keys: Arc::clone(&keys),
        rules: rules(config, &topology),
        metrics: Arc::clone(&metrics),
        breakers: ConfirmerBreakers {
            ledger: breakers.ledger.clone(),
            gateway: breakers.gateway.clone(),
            auth: breakers.auth.clone(),
        },
    };
    let keeper = keeper(config, &ledger, &sealer, &metrics)?;
    let alerts = parts::alerts(config, &ledger, &metrics)?;

    let mut runner = Runner::new(&config.broker, stop);
    let outcomes = queues::outcomes(&topology);
    let confirm = runner.consume(&link, outcomes, config.confirm.prefetch, Arc::new(confirmer));
    confirm.needs([&breakers.ledger, &breakers.gateway, &breakers.auth]);
    runner.background(|stop| async move { keeper.run(&stop).await });
    runner.background(|stop| async move { alerts.run(&stop).await });
    runner.background(|stop| breakers.clone().probe_ledger(ledger.clone(), stop));
    runner.background(|stop| breakers.clone().probe_gateway(gateway, stop));
    runner.background(|stop| breakers.clone().probe_auth(keys, stop));

    let result = runner.run().await;
    link.close().await;
    ledger.close().await;
    result
}

fn rules(config: &Config, topology: &TopologySettings) -> Rules {
    Rules {
        confirm_after: topology.confirm_after,
        lease: config.confirm.lease,
        quarantine: config.confirm.quarantine,
        negative: config.confirm.negative,
        identifier_type: config.confirm.identifier_type.clone(),
        comment: config.confirm.comment.clone(),
    }
}

/// Makes the part that answers in the events dialect, and checks the form field for the ID: the
/// role does not start if no form of the country has this field. If the country's configuration
/// service cannot be asked, the field is checked before the first write.
async fn events(config: &Config) -> Result<EventsSide, Failure> {
    let client = EventsClient::new(&parts::client_settings(config, &config.opencrvs.gateway_url))
        .context("the HTTP client for the events service cannot be made")?;
    let field = parts::identifier_field(config)?;
    if let Some(field) = &field {
        match field.fetch().await {
            Ok(kinds) if kinds.is_empty() => {
                return Err(Failure::Unavailable(anyhow!(
                    "CONFIRM_IDENTIFIER_FIELD (confirm.identifier_field): no form of the country defines {}; writing it \
                     would break records for good. Add the field to the country's forms, or correct the setting",
                    field.name()
                )));
            }
            Ok(kinds) => {
                tracing::info!(field = field.name(), ?kinds, "these forms define the field for the ID");
            }
            Err(fault) => {
                tracing::warn!(error = %fault, "the field for the ID is checked later, before it is written");
            }
        }
    }
    Ok(EventsSide { client, system: parts::system_client(config)?, field, reasons: config.confirm.reasons })
}

fn keeper(
    config: &Config,
    ledger: &Ledger,
    sealer: &Arc<Sealer>,
    metrics: &Arc<Metrics>,
) -> Result<Keeper, Failure> {
    let (keys, exchange) = parts::auth(config)?;
    Ok(Keeper {
        ledger: ledger.clone(),
        sealer: Arc::clone(sealer),
        keys,
        exchange,
        metrics: Arc::clone(metrics),
        rules: KeeperRules {
            interval: config.token.interval,
            batch: usize::try_from(config.token.batch).unwrap_or(usize::MAX),
            due: RenewalRule { at_percent: config.token.renew_at, until: config.token.renew_until },
            call_timeout: config.opencrvs.timeout,
        },
    })
}
