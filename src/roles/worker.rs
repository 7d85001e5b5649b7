//! `nidbridge worker`: the stages record, send, resolve and sweep, or some of them.

use std::sync::Arc;

use anyhow::Context as _;

use super::access::BrokerAccess;
use super::belonging::Belonging;
use super::clock::ClockWatch;
use super::runner::Runner;
use super::{Breakers, Failure, Process, parts, sources};
use crate::admin::Readiness;
use crate::broker::Link;
use crate::config::Config;
use crate::domain::Patience;
use crate::ledger::Ledger;
use crate::opencrvs::Reading;
use crate::opencrvs::events::EventsClient;
use crate::opencrvs::fhir::Gateway;
use crate::pipeline::{DeploymentCheck, Member, NextHop, Queues, queues};
use crate::seal::Sealer;
use crate::telemetry::Metrics;
use crate::worker::{
    RecordStage, RequestSettings, ResolveStage, SendCheck, SendCheckParts, SendStage, SweepRules, Sweeper,
};

/// A stage that a worker can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WorkerStage {
    /// Write registrations to the ledger.
    Record,
    /// Ask the ID system.
    Send,
    /// Handle the ID system's replies.
    Resolve,
    /// Look after stuck and expired attempts; only one worker of the whole installation does this.
    Sweep,
}

/// Runs the stages until the process is to stop.
pub(crate) async fn run(process: Process, stages: &[WorkerStage]) -> Result<(), Failure> {
    let Process { config, metrics, breakers, readiness, stop } = process;
    // This condition is met only after the links are watched, too, because a process without an
    // unmet condition counts as ready.
    let opened = readiness.condition("worker_ledger");
    let sealer = parts::sealer(&config)?;
    let ledger = parts::ledger(&config, "worker", &sealer).await?;
    let check = DeploymentCheck::new(Member::WithLedger(ledger.deployment().to_owned()), &sealer);
    let bridge = parts::member_link(&config, "worker", &metrics, &check);
    let belonging = Belonging::new(&check, readiness.condition("worker_deployment"), &metrics);
    let nid = parts::nid_link(&config, "worker_nid", &metrics);
    let access = [(parts::BRIDGE_URL, &bridge, "worker_access"), (parts::NID_URL, &nid, "nid_access")]
        .map(|(setting, link, name)| BrokerAccess::new(setting, link, readiness.condition(name), &metrics));
    readiness.add_link("worker_broker", bridge.state());
    readiness.add_link("nid_broker", nid.state());
    readiness.add_breakers(&[&breakers.ledger, &breakers.id_system]);
    if config.send.check && stages.contains(&WorkerStage::Send) {
        readiness.add_breakers(&[&breakers.gateway]);
    }
    opened.set(true);

    let topology = parts::topology_settings(&config);
    let queues = Queues::new(&topology);
    let next = NextHop::new(ledger.clone(), bridge.publisher(), &topology);
    let worker = Worker { config, ledger, sealer, bridge, nid, queues, next, metrics, breakers, readiness };
    let Worker { config, ledger, bridge, nid, breakers, .. } = &worker;
    let (prefetch, replies_prefetch) = (config.broker.prefetch, config.nid.prefetch);

    let mut runner = Runner::new(&config.broker, stop);
    runner.task(|stop| belonging.watch(stop));
    for access in access {
        runner.task(|stop| access.watch(stop));
    }
    if stages.contains(&WorkerStage::Record) {
        let registrations = queues::registrations(&topology);
        runner.consume(bridge, registrations, prefetch, worker.record()).needs([&breakers.ledger]);
    }
    if stages.contains(&WorkerStage::Send) {
        worker.consume_requests(&mut runner)?;
    }
    if stages.contains(&WorkerStage::Resolve) {
        let (ours, vendors) = (queues::replies(&topology), queues::nid_replies(&topology));
        let resolve = worker.resolve();
        runner.consume(bridge, ours, replies_prefetch, Arc::clone(&resolve)).needs([&breakers.ledger]);
        let replies = runner.consume(nid, vendors, replies_prefetch, resolve);
        replies.needs([&breakers.ledger]).publishes_to([bridge]);
    }
    if stages.contains(&WorkerStage::Sweep) {
        let sweeper = worker.sweeper();
        runner.background(|stop| async move { sweeper.run(&stop).await });
        if let Some(watcher) = parts::parking_watcher(config, ledger, bridge, nid) {
            runner.background(|stop| async move { watcher.run(&stop).await });
        }
    }
    let alerts = parts::alerts(config, ledger, &worker.metrics)?;
    runner.background(|stop| async move { alerts.run(&stop).await });
    runner.background(|stop| breakers.clone().probe_ledger(ledger.clone(), stop));
    let max_length = config.broker.max_length;
    runner.background(|stop| breakers.clone().probe_id_system(nid.clone(), max_length, stop));

    let result = runner.run().await;
    worker.close().await;
    result
}

/// What the stages of a worker share.
struct Worker {
    config: Arc<Config>,
    ledger: Ledger,
    sealer: Arc<Sealer>,
    bridge: Link,
    nid: Link,
    queues: Queues,
    next: NextHop,
    metrics: Arc<Metrics>,
    breakers: Breakers,
    readiness: Readiness,
}

impl Worker {
    fn record(&self) -> Arc<RecordStage> {
        Arc::new(RecordStage {
            ledger: self.ledger.clone(),
            sealer: Arc::clone(&self.sealer),
            next: self.next.clone(),
            metrics: Arc::clone(&self.metrics),
            breaker: self.breakers.ledger.clone(),
            requests: self.request_settings(),
        })
    }

    fn consume_requests(&self, runner: &mut Runner) -> Result<(), Failure> {
        let breakers = &self.breakers;
        let reading = parts::reading(&self.config);
        let check = self.send_check(&reading)?;
        if check.is_some()
            && let Some(forms) = parts::source_check(&self.config, &reading)?
        {
            let recheck = self.config.confirm.field_recheck;
            runner.background(|stop| sources::learn_dates(forms, recheck, stop));
        }
        let gateway = check.is_some().then(|| self.gateway()).transpose()?;
        let (requests, prefetch) = (self.queues.requests.clone(), self.config.broker.prefetch);
        let send = runner.consume(&self.bridge, requests, prefetch, self.send(check));
        let send = send.publishes_to([&self.nid]);
        if let Some(gateway) = gateway {
            send.needs([&breakers.ledger, &breakers.id_system, &breakers.gateway]);
            runner.background(|stop| breakers.clone().probe_gateway(gateway, stop));
            // Only this read calls OpenCRVS.
            let warning = self.readiness.warning("worker_clock");
            let services = vec![parts::gateway_clock(&self.config)?];
            let clock = ClockWatch::new(&self.config, services, warning, &self.metrics);
            runner.background(|stop| clock.watch(stop));
        } else {
            send.needs([&breakers.ledger, &breakers.id_system]);
        }
        Ok(())
    }

    /// `None` if registrations are not looked up before they are sent.
    fn send_check(&self, reading: &Reading) -> Result<Option<SendCheck>, Failure> {
        let config = &self.config;
        if !config.send.check {
            return Ok(None);
        }
        let settings = parts::client_settings(config, &config.opencrvs.gateway_url);
        Ok(Some(SendCheck::new(SendCheckParts {
            gateway: self.gateway()?,
            events: EventsClient::new(&settings)
                .context("the HTTP client for the events service cannot be made")?,
            reading: reading.clone(),
            client: parts::system_client(config)?,
            breaker: self.breakers.gateway.clone(),
            visible_within: config.send.visible_within,
            tolerance: config.opencrvs.stamp_tolerance,
        })))
    }

    fn gateway(&self) -> Result<Gateway, Failure> {
        let settings = parts::client_settings(&self.config, &self.config.opencrvs.gateway_url);
        Ok(Gateway::new(&settings).context("the HTTP client for the gateway cannot be made")?)
    }

    fn send(&self, check: Option<SendCheck>) -> Arc<SendStage> {
        Arc::new(SendStage {
            ledger: self.ledger.clone(),
            sealer: Arc::clone(&self.sealer),
            nid: self.nid.publisher(),
            next: self.next.clone(),
            metrics: Arc::clone(&self.metrics),
            breaker: self.breakers.ledger.clone(),
            id_system: self.breakers.id_system.clone(),
            requests: self.request_settings(),
            check,
        })
    }

    fn request_settings(&self) -> RequestSettings {
        let nid = &self.config.nid;
        RequestSettings {
            source: nid.source.clone(),
            deadline: nid.deadline,
            numbers: parts::number_rules(&self.config),
        }
    }

    fn resolve(&self) -> Arc<ResolveStage> {
        Arc::new(ResolveStage {
            ledger: self.ledger.clone(),
            sealer: Arc::clone(&self.sealer),
            next: self.next.clone(),
            metrics: Arc::clone(&self.metrics),
            breaker: self.breakers.ledger.clone(),
            max_bytes: self.config.nid.reply_max_bytes,
        })
    }

    fn sweeper(&self) -> Sweeper {
        let config = &self.config;
        let longest = parts::longest_delay(config);
        Sweeper {
            ledger: self.ledger.clone(),
            next: self.next.clone(),
            bridge: self.bridge.clone(),
            nid: self.nid.clone(),
            queues: self.queues.clone(),
            metrics: Arc::clone(&self.metrics),
            id_system: self.breakers.id_system.clone(),
            rules: SweepRules {
                interval: config.sweep.interval,
                batch: usize::try_from(config.sweep.batch).unwrap_or(usize::MAX),
                patience: Patience { queued: longest + config.sweep.margin, asked: config.nid.resend_after },
                expiring: config.sweep.expiring,
                deadline: config.nid.deadline,
                failing_after: config.sweep.failing_after,
                quarantine: config.confirm.quarantine,
                has_client: parts::has_client(config),
                keep_sealed: config.retention.sealed,
            },
        }
    }

    async fn close(self) {
        self.nid.close().await;
        self.bridge.close().await;
        self.ledger.close().await;
    }
}
