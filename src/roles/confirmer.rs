//! `nidbridge confirmer`: tells OpenCRVS.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::{Failure, Process, parts};
use crate::broker::{ConsumerSettings, consume};
use crate::config::Config;
use crate::confirmer::{Confirmer, EventsSide, Keeper, KeeperRules, Needs, Rules};
use crate::ledger::{Ledger, RenewalRule};
use crate::opencrvs::Gateway;
use crate::opencrvs::events::Actions;
use crate::pipeline::{queues, settings};
use crate::seal::Sealer;
use crate::telemetry::Metrics;

/// Runs until it is told to stop.
pub(crate) async fn run(process: Process) -> Result<(), Failure> {
    let Process { config, metrics, breakers, readiness, stop } = process;
    let config = &*config;
    let sealer = parts::sealer(config)?;
    // Held back until the link is watched, too: a process without conditions would count as ready.
    let opened = readiness.condition("confirmer_ledger");
    let ledger = parts::ledger(config, "confirmer", &sealer).await?;
    let gateway = Gateway::new(&parts::client_settings(config, &config.opencrvs.gateway_url))
        .context("the gateway's client")?;
    let link = parts::bridge_link(config, "confirmer", &metrics);
    readiness.link("confirmer_broker", link.state());
    readiness.depends_on(&[&breakers.ledger, &breakers.gateway, &breakers.auth]);
    opened.set(true);
    let (keys, _) = parts::auth(config)?;
    let keys = Arc::new(keys);
    let topology = parts::topology_settings(config);
    let confirmer = Confirmer {
        ledger: ledger.clone(),
        sealer: Arc::clone(&sealer),
        gateway: gateway.clone(),
        events: events(config).await?,
        keys: Arc::clone(&keys),
        rules: Rules {
            confirm_after: topology.confirm_after,
            lease: config.confirm.lease,
            quarantine: config.confirm.quarantine,
            negative: config.confirm.negative,
            identifier_type: config.confirm.identifier_type.clone(),
            comment: config.confirm.comment.clone(),
        },
        metrics: Arc::clone(&metrics),
        needs: Needs {
            ledger: breakers.ledger.clone(),
            gateway: breakers.gateway.clone(),
            auth: breakers.auth.clone(),
        },
    };
    let keeper = keeper(config, &ledger, &sealer, &metrics)?;
    let settings = ConsumerSettings {
        breakers: vec![breakers.ledger.clone(), breakers.gateway.clone(), breakers.auth.clone()],
        ..settings::consumer(&config.broker, config.confirm.prefetch)
    };
    let alerts = parts::alerts(config, &ledger, &metrics)?;
    let outcomes = queues::outcomes(&topology);
    tokio::join!(
        consume(&link, &outcomes, settings, Arc::new(confirmer), stop.clone()),
        keeper.run(&stop),
        alerts.run(&stop),
        breakers.keep_ledger(&ledger, stop.clone()),
        breakers.keep_gateway(&gateway, stop.clone()),
        breakers.keep_auth(&keys, stop.clone()),
    );
    link.close().await;
    ledger.close().await;
    Ok(())
}

/// A field that is known not to be there is refused at once; one that nobody can say anything of, when its turn comes.
async fn events(config: &Config) -> Result<EventsSide, Failure> {
    let actions = Actions::new(&parts::client_settings(config, &config.opencrvs.gateway_url))
        .context("the events service's client")?;
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
            Ok(kinds) => tracing::info!(field = field.name(), ?kinds, "these events have the ID's field"),
            Err(fault) => tracing::warn!(error = %fault, "the ID's field is checked when it is needed"),
        }
    }
    Ok(EventsSide { actions, field, reasons: config.confirm.reasons })
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
            fresh: RenewalRule { at_percent: config.token.renew_at, until: config.token.renew_until },
            call: config.opencrvs.timeout,
        },
    })
}
