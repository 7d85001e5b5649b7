//! What the bridge counts and measures, for `/metrics`.
//!
//! Invariant: a value that is passed along, never a global registry; labels come from bounded sets only.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use super::names;
use crate::domain::{Cause, EventKind, State};

/// Up to ten seconds: one hop.
const HOP_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Up to seven days, which is how long a record token lives.
const LIFE_BUCKETS: &[f64] = &[
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 172_800.0, 345_600.0,
    518_400.0, 604_800.0,
];

type Labels<const N: usize> = [(&'static str, String); N];

#[derive(Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, Buckets>;

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    received: Counters<2>,
    http_duration: Histogram,
    processed: Counters<2>,
    stage_duration: Histograms<1>,
    retries: Counters<2>,
    dead_lettered: Counters<2>,
    in_flight: Gauges<1>,
    published: Counters<2>,
    publish_confirm: Histograms<1>,
    requested: Counters<1>,
    replies: Counters<1>,
    confirm: Counters<1>,
    end_to_end: Histogram,
    broker_connected: Gauges<1>,
    breaker_state: Gauges<1>,
    breaker_opened: Counters<1>,
    sweeps: Counters<1>,
    swept: Counters<1>,
    tokens: Counters<1>,
    erased: Counter,
    passed: Counters<1>,
    passing: Gauge,
    waited: Counters<1>,
    waiting: Gauge,
    spooled: Counter,
    spool_files: Gauge,
    spool_bytes: Gauge,
    broker_reconnects: Counters<1>,
    unsettled: Counters<1>,
    alarms: Counters<1>,
    alerts: Counters<1>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that all stand at nothing.
    #[expect(clippy::too_many_lines, reason = "a table of metrics")]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let mut book = Book(&mut registry);
        let hop = || Histograms::new_with_constructor(Buckets(HOP_BUCKETS));
        let build: Gauges<1> = book.enter(names::BUILD_INFO, "The release that runs", Family::default());
        build.get_or_create(&[(names::VERSION, env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        Self {
            received: book.enter(names::RECEIVED, "Registrations that OpenCRVS sent", Family::default()),
            http_duration: book.enter(
                names::HTTP_DURATION,
                "How long the front takes to answer",
                Buckets(HOP_BUCKETS).new_metric(),
            ),
            processed: book.enter(names::STAGE_PROCESSED, "Messages that a stage settled", Family::default()),
            stage_duration: book.enter(names::STAGE_DURATION, "How long a stage works on one message", hop()),
            retries: book.enter(names::RETRIES, "Messages that a stage put off", Family::default()),
            dead_lettered: book.enter(names::DEAD_LETTERED, "What waits for an operator", Family::default()),
            in_flight: book.enter(names::IN_FLIGHT, "Messages that a stage works on", Family::default()),
            published: book.enter(names::PUBLISHED, "Messages given to the broker", Family::default()),
            publish_confirm: book.enter(
                names::PUBLISH_CONFIRM,
                "How long the broker takes to confirm",
                hop(),
            ),
            confirm: book.enter(names::CONFIRM, "What came of telling OpenCRVS", Family::default()),
            end_to_end: book.enter(
                names::END_TO_END,
                "From the 202 to the end in OpenCRVS",
                Buckets(LIFE_BUCKETS).new_metric(),
            ),
            broker_connected: book.enter(
                names::BROKER_CONNECTED,
                "Whether a connection to the broker is open",
                Family::default(),
            ),
            breaker_state: book.enter(
                names::BREAKER_STATE,
                "Whether what is depended on works (0), is tried (1) or is left alone (2)",
                Family::default(),
            ),
            breaker_opened: book.enter(
                names::BREAKER_OPENED,
                "How often what is depended on had to be left alone",
                Family::default(),
            ),
            broker_reconnects: book.enter(
                names::BROKER_RECONNECTS,
                "Connections to the broker that came back",
                Family::default(),
            ),
            unsettled: book.enter(
                names::UNSETTLED,
                "Messages that were handled and come again",
                Family::default(),
            ),
            requested: book.enter(
                names::REQUESTED,
                "Requests that went to the ID system, by event kind",
                Family::default(),
            ),
            replies: book.enter(names::REPLIES, "Replies of the ID system, by status", Family::default()),
            sweeps: book.enter(
                names::SWEEPS,
                "Turns of the sweeper, by what came of them",
                Family::default(),
            ),
            swept: book.enter(names::SWEPT, "Attempts whose next hop was published again", Family::default()),
            tokens: book.enter(
                names::TOKENS,
                "Record tokens that were looked after, by what came of it",
                Family::default(),
            ),
            erased: book.enter(names::ERASED, "Records whose sealed values were erased", Counter::default()),
            passed: book.enter(
                names::PASSED,
                "Requests that were passed on to the country's configuration service",
                Family::default(),
            ),
            passing: book.enter(
                names::PASSING,
                "Requests that are under way to the country's configuration service",
                Gauge::default(),
            ),
            waited: book.enter(
                names::WAITED,
                "Callers that were to be held for their answer, by what came of it",
                Family::default(),
            ),
            waiting: book.enter(
                names::WAITING,
                "Callers that are held for their answer at this moment",
                Gauge::default(),
            ),
            spooled: book.enter(
                names::SPOOLED,
                "Registrations that went to the front's disk first",
                Counter::default(),
            ),
            spool_files: book.enter(
                names::SPOOL_FILES,
                "Registrations that wait in the spool",
                Gauge::default(),
            ),
            spool_bytes: book.enter(names::SPOOL_BYTES, "How many bytes they are", Gauge::default()),
            alarms: book.enter(names::ALARMS, "What an operator has to look at", Family::default()),
            alerts: book.enter(
                names::ALERTS,
                "Alerts that went to the webhook, by what came of it",
                Family::default(),
            ),
            registry,
        }
    }

    /// The front has answered a registration; `kind` is [`crate::domain::EventKind::label`].
    pub fn front_request(&self, kind: &'static str, outcome: &'static str) {
        self.received.get_or_create(&[label(names::EVENT, kind), label(names::OUTCOME, outcome)]).inc();
    }

    /// So many more requests that are not ours are under way.
    pub fn passing(&self, more: i64) {
        self.passing.inc_by(more);
    }

    /// A request that is not ours was passed on, or could not be.
    pub fn passed(&self, outcome: &'static str) {
        self.passed.get_or_create(&[label(names::OUTCOME, outcome)]).inc();
    }

    /// So many callers are held for their answer now.
    pub fn waiting(&self, count: usize) {
        self.waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// One that was to be held got its `answered`; was `late`; was sent away because the front is `stopped`; or was not
    /// held because there are enough (`full`) or no copies of answers come (`unheard`).
    pub fn waited(&self, outcome: &'static str) {
        self.waited.get_or_create(&[label(names::OUTCOME, outcome)]).inc();
    }

    /// How long that answer took.
    pub fn front_seconds(&self, seconds: f64) {
        self.http_duration.observe(seconds);
    }

    /// A stage has settled a message after so many seconds.
    pub fn stage_processed(&self, stage: &'static str, outcome: &'static str, seconds: f64) {
        self.processed.get_or_create(&[label(names::STAGE, stage), label(names::OUTCOME, outcome)]).inc();
        self.stage_duration.get_or_create(&[label(names::STAGE, stage)]).observe(seconds);
    }

    /// A stage works on `count` messages now.
    pub fn in_flight(&self, stage: &'static str, count: usize) {
        self.in_flight
            .get_or_create(&[label(names::STAGE, stage)])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A message went to an exchange of the topology, and this came of it.
    pub fn published(&self, exchange: &str, outcome: &'static str, seconds: f64) {
        self.published
            .get_or_create(&[label(names::EXCHANGE, exchange), label(names::OUTCOME, outcome)])
            .inc();
        self.publish_confirm.get_or_create(&[label(names::EXCHANGE, exchange)]).observe(seconds);
    }

    /// A stage gave something up until an operator resumes it.
    pub fn parked(&self, stage: &'static str, cause: &'static str) {
        self.dead_lettered.get_or_create(&[label(names::STAGE, stage), label(names::CAUSE, cause)]).inc();
    }

    /// A stage put a message off.
    pub fn delayed(&self, stage: &'static str, cause: &'static str) {
        self.retries.get_or_create(&[label(names::STAGE, stage), label(names::CAUSE, cause)]).inc();
    }

    /// A request went to the ID system.
    pub fn requested(&self, kind: &EventKind) {
        self.requested.get_or_create(&[label(names::EVENT, kind.label())]).inc();
    }

    /// The ID system replied with this status of the contract.
    pub fn replied(&self, status: &'static str) {
        self.replies.get_or_create(&[label(names::STATUS, status)]).inc();
    }

    /// What came of telling OpenCRVS.
    pub fn confirmed(&self, outcome: &'static str) {
        self.confirm.get_or_create(&[label(names::OUTCOME, outcome)]).inc();
    }

    /// A registration took so long from the 202 to its end.
    pub fn end_to_end(&self, seconds: f64) {
        self.end_to_end.observe(seconds);
    }

    /// Whether a connection to the broker is open.
    pub fn broker_connected(&self, link: &'static str, connected: bool) {
        self.broker_connected.get_or_create(&[label(names::LINK, link)]).set(i64::from(connected));
    }

    /// The state of the circuit breaker of a dependency: 0 closed, 1 half-open, 2 open.
    pub fn breaker(&self, dependency: &'static str, state: i64) {
        let of = [label(names::DEPENDENCY, dependency)];
        self.breaker_state.get_or_create(&of).set(state);
        let opened = self.breaker_opened.get_or_create(&of);
        if state == 2 {
            opened.inc();
        }
    }

    /// A turn of the sweeper came to this.
    pub fn sweep(&self, outcome: &'static str) {
        self.sweeps.get_or_create(&[label(names::OUTCOME, outcome)]).inc();
    }

    /// The next hop of an attempt in this state was published again.
    pub fn swept(&self, state: State) {
        self.swept.get_or_create(&[label(names::STATE, state.as_str())]).inc();
    }

    /// A record token was looked after, and this came of it.
    pub fn token(&self, outcome: &'static str) {
        self.tokens.get_or_create(&[label(names::OUTCOME, outcome)]).inc();
    }

    /// The sealed values of a record were erased.
    pub fn erased(&self) {
        self.erased.inc();
    }

    /// A registration went to the front's own disk.
    pub fn spooled(&self) {
        self.spooled.inc();
    }

    /// What the front's spool holds now.
    pub fn spool_holds(&self, files: usize, bytes: u64) {
        self.spool_files.set(i64::try_from(files).unwrap_or(i64::MAX));
        self.spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A connection to the broker that was lost is there again.
    pub fn reconnected(&self, link: &'static str) {
        self.broker_reconnects.get_or_create(&[label(names::LINK, link)]).inc();
    }

    /// A stage has handled a message and could not acknowledge it.
    pub fn unsettled(&self, stage: &'static str) {
        self.unsettled.get_or_create(&[label(names::STAGE, stage)]).inc();
    }

    /// Something that an operator has to look at.
    pub fn alarm(&self, cause: Cause) {
        self.alarms.get_or_create(&[label(names::CAUSE, cause.as_str())]).inc();
    }

    /// An alert went to the webhook, and this came of it.
    pub fn alert(&self, outcome: &'static str) {
        self.alerts.get_or_create(&[label(names::OUTCOME, outcome)]).inc();
    }

    /// The webhook never took so many alerts.
    pub fn alerts_given_up(&self, count: u64) {
        self.alerts.get_or_create(&[label(names::OUTCOME, "given_up")]).inc_by(count);
    }

    /// All of it in the text format of `OpenMetrics` 1.0, which Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // a `String` refuses nothing; a half-written page would still be better than none
        encode(&mut text, &self.registry).unwrap_or_default();
        text
    }
}

/// Registers under the name that is shown: the encoder itself adds the `_total` of a counter.
struct Book<'a>(&'a mut Registry);

impl Book<'_> {
    fn enter<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name.strip_suffix("_total").unwrap_or(name), help, metric.clone());
        metric
    }
}

fn label(key: &'static str, value: &str) -> (&'static str, String) {
    (key, value.to_owned())
}

#[cfg(test)]
mod tests;
