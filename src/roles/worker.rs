//! `nidbridge worker`: record, send, resolve and sweep, or some of them.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Breakers, Failure, Process, parts};
use crate::alert::{Alerts, Parking};
use crate::broker::{Breaker, ConsumerSettings, Handler, Link, Publisher, WorkQueue, consume};
use crate::config::Config;
use crate::domain::Patience;
use crate::ledger::Ledger;
use crate::pipeline::names::AMQP_SYSTEM;
use crate::pipeline::{NextHop, Queues, TopologySettings, queues, settings};
use crate::seal::Sealer;
use crate::telemetry::Metrics;
use crate::worker::{Asking, RecordStage, ResolveStage, SendStage, SweepRules, Sweeper};

/// Which stages a worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WorkerStage {
    /// Put registrations on record.
    Record,
    /// Ask the ID system.
    Send,
    /// Take its replies in.
    Resolve,
    /// Look after what nothing was heard of and what could not be recorded; one worker of all does.
    Sweep,
}

/// Runs the stages until it is told to stop.
pub(crate) async fn run(process: Process, stages: &[WorkerStage]) -> Result<(), Failure> {
    let Process { config, metrics, breakers, readiness, stop } = process;
    let config = &*config;
    let sealer = parts::sealer(config)?;
    // Held back until the links are watched, too: a process without conditions would count as ready.
    let opened = readiness.condition("worker_ledger");
    let ledger = parts::ledger(config, "worker", &sealer).await?;
    let bridge = parts::bridge_link(config, "worker", &metrics);
    let nid = parts::nid_link(config, "worker_nid", &metrics);
    readiness.link("worker_broker", bridge.state());
    readiness.link("nid_broker", nid.state());
    readiness.depends_on(&[&breakers.ledger, &breakers.id_system]);
    opened.set(true);
    let settings = parts::topology_settings(config);
    let queues =
        Queues { requests: queues::requests(&settings, AMQP_SYSTEM), outcomes: queues::outcomes(&settings) };
    let next = NextHop::new(ledger.clone(), bridge.publisher(), settings.confirm_after, queues.clone());
    let handlers = handlers(config, (&ledger, &sealer), &next, nid.publisher(), &metrics, &breakers);
    let sweep = Sweeper {
        ledger: ledger.clone(),
        next,
        bridge: bridge.clone(),
        nid: nid.clone(),
        queues: queues.clone(),
        metrics: Arc::clone(&metrics),
        id_system: breakers.id_system.clone(),
        rules: sweep_rules(config),
    };
    let parking = parts::parking(config, &ledger, &bridge, &nid);
    let mut loops = Loops { config, stop, running: JoinSet::new() };
    loops.keep(&breakers, &ledger, &nid);
    loops.alert(parts::alerts(config, &ledger, &metrics)?);
    let lines = Lines { bridge: &bridge, nid: &nid, settings, queues, breakers: &breakers };
    loops.begin(stages, &lines, &handlers, (sweep, parking));
    loops.finish().await;
    nid.close().await;
    bridge.close().await;
    ledger.close().await;
    Ok(())
}

fn sweep_rules(config: &Config) -> SweepRules {
    let longest = parts::longest_delay(config);
    SweepRules {
        interval: config.sweep.interval,
        batch: usize::try_from(config.sweep.batch).unwrap_or(usize::MAX),
        patience: Patience {
            queued: longest + config.sweep.margin,
            asked: config.nid.resend_after.max(longest),
        },
        expiring: config.sweep.expiring,
        quarantine: config.confirm.quarantine,
        keep_sealed: config.retention.sealed,
    }
}

struct Handlers {
    record: Arc<RecordStage>,
    send: Arc<SendStage>,
    resolve: Arc<ResolveStage>,
}

fn handlers(
    config: &Config,
    (ledger, sealer): (&Ledger, &Arc<Sealer>),
    next: &NextHop,
    nid: Publisher,
    metrics: &Arc<Metrics>,
    breakers: &Breakers,
) -> Handlers {
    let asking = Asking { source: config.nid.source.clone(), deadline: config.nid.deadline };
    let record = RecordStage {
        ledger: ledger.clone(),
        sealer: Arc::clone(sealer),
        numbers: config.number.template.clone(),
        next: next.clone(),
        metrics: Arc::clone(metrics),
        breaker: breakers.ledger.clone(),
        asking: asking.clone(),
    };
    let send = SendStage {
        ledger: ledger.clone(),
        sealer: Arc::clone(sealer),
        nid,
        next: next.clone(),
        metrics: Arc::clone(metrics),
        breaker: breakers.ledger.clone(),
        id_system: breakers.id_system.clone(),
        asking,
    };
    let resolve = ResolveStage {
        ledger: ledger.clone(),
        sealer: Arc::clone(sealer),
        next: next.clone(),
        metrics: Arc::clone(metrics),
        breaker: breakers.ledger.clone(),
        max_bytes: config.nid.reply_max_bytes,
    };
    Handlers { record: Arc::new(record), send: Arc::new(send), resolve: Arc::new(resolve) }
}

struct Loops<'a> {
    config: &'a Config,
    stop: CancellationToken,
    running: JoinSet<()>,
}

/// What the stages consume.
struct Lines<'a> {
    bridge: &'a Link,
    nid: &'a Link,
    settings: TopologySettings,
    queues: Queues,
    breakers: &'a Breakers,
}

impl Loops<'_> {
    fn begin(
        &mut self,
        stages: &[WorkerStage],
        lines: &Lines<'_>,
        handlers: &Handlers,
        watch: (Sweeper, Option<Parking>),
    ) {
        let Lines { bridge, nid, settings, queues, breakers } = lines;
        let (prefetch, replies) = (self.config.broker.prefetch, self.config.nid.prefetch);
        let needs = [breakers.ledger.clone()];
        let send_needs = [breakers.ledger.clone(), breakers.id_system.clone()];
        let Handlers { record, send, resolve } = handlers;
        let mut watch = Some(watch);
        for stage in stages {
            match stage {
                WorkerStage::Record => {
                    let queue = queues::registrations(settings);
                    self.start((bridge, queue), prefetch, (&needs, &[]), Arc::clone(record));
                }
                WorkerStage::Send => {
                    let requests = queues.requests.clone();
                    self.start((bridge, requests), prefetch, (&send_needs, &[nid]), Arc::clone(send));
                }
                WorkerStage::Resolve => {
                    let (ours, theirs) = (queues::replies(settings), queues::nid_replies(settings));
                    self.start((bridge, ours), replies, (&needs, &[]), Arc::clone(resolve));
                    self.start((nid, theirs), replies, (&needs, &[bridge]), Arc::clone(resolve));
                }
                WorkerStage::Sweep => {
                    if let Some(watch) = watch.take() {
                        self.watch(watch);
                    }
                }
            }
        }
    }

    fn start<H: Handler>(
        &mut self,
        (link, queue): (&Link, WorkQueue),
        prefetch: u16,
        (breakers, onward): (&[Breaker], &[&Link]),
        handler: Arc<H>,
    ) {
        let settings = ConsumerSettings {
            breakers: breakers.to_vec(),
            onward: onward.iter().map(|link| link.state()).collect(),
            ..settings::consumer(&self.config.broker, prefetch)
        };
        let (link, stop) = (link.clone(), self.stop.clone());
        self.running.spawn(async move { consume(&link, &queue, settings, handler, stop).await });
    }

    fn keep(&mut self, breakers: &Breakers, ledger: &Ledger, nid: &Link) {
        let max_length = self.config.broker.max_length;
        let (breakers, ledger, nid, stop) =
            (breakers.clone(), ledger.clone(), nid.clone(), self.stop.clone());
        self.running.spawn(async move {
            tokio::join!(
                breakers.keep_ledger(&ledger, stop.clone()),
                breakers.keep_id_system(&nid, max_length, stop)
            );
        });
    }

    fn watch(&mut self, (sweep, parking): (Sweeper, Option<Parking>)) {
        let stop = self.stop.clone();
        self.running.spawn(async move { sweep.run(&stop).await });
        if let Some(parking) = parking {
            let stop = self.stop.clone();
            self.running.spawn(async move { parking.run(&stop).await });
        }
    }

    fn alert(&mut self, alerts: Alerts) {
        let stop = self.stop.clone();
        self.running.spawn(async move { alerts.run(&stop).await });
    }

    async fn finish(mut self) {
        while self.running.join_next().await.is_some() {}
    }
}
