//! The metrics of one process, for `/metrics`: name, labels and help of each in one table.
//!
//! Invariant: the metrics are a value that is passed along, never a global registry. Label values
//! come from bounded sets; none holds a name, an id or a token. Dashboards and alert rules may rely
//! on what is in the table and on nothing else.

mod labelled;
mod observe;

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use labelled::{Counters, Gauges, Histograms, histogram, histograms, labelled};

/// Bucket bounds in seconds for the time of one step, up to 30 s.
const HOP: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bucket bounds in seconds, up to seven days, the lifetime of a record token.
const LIFE: &[f64] = &[
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 172_800.0, 345_600.0,
    518_400.0, 604_800.0,
];

/// Declares the metrics: `/// help`, then `field: type, constructor, "name";`.
macro_rules! metrics {
    ($( $(#[doc = $help:literal])+ $field:ident: $ty:ty, $new:expr, $name:literal; )+) => {
        /// The metrics of one process.
        pub struct Metrics {
            registry: Registry,
            $( $(#[doc = $help])+ $field: $ty, )+
        }

        impl Metrics {
            /// All metrics start at zero, except the build info.
            pub fn new() -> Self {
                let mut registry = Registry::default();
                $(
                    let $field: $ty = $new;
                    // The encoder itself adds the `_total` of a counter and the full stop of a help
                    // text.
                    let name = $name.strip_suffix("_total").unwrap_or($name);
                    let help = concat!($($help),+).trim().trim_end_matches('.');
                    registry.register(name, help, $field.clone());
                )+
                let metrics = Self { registry, $($field,)+ };
                metrics.build_info.of([env!("CARGO_PKG_VERSION")]).set(1);
                metrics
            }
        }
    };
}

metrics! {
    /// The running release; always 1.
    build_info: Gauges<1>, labelled(["version"]), "nidbridge_build_info";
    /// Requests that OpenCRVS sent to the front, by kind of event and outcome: accepted, passed (an
    /// action that needs no answer), or why it was refused.
    received: Counters<2>, labelled(["event", "outcome"]), "nidbridge_received_total";
    /// Time from a registration's request until it is stored or refused, without a wait for the
    /// sync answer.
    http_duration: Histogram, histogram(HOP), "nidbridge_http_request_duration_seconds";
    /// HTTP connections that are open now, by listener: front or admin.
    connections: Gauges<1>, labelled(["listener"]), "nidbridge_http_connections";
    /// HTTP connections that the bridge closed or could not open, by listener and cause:
    /// `head_timeout` (`FRONT_HEAD_TIMEOUT`), `crowded_out` (idle for longest when there were
    /// `FRONT_CONNECTIONS`) or `accept_failed`.
    connections_closed: Counters<2>, labelled(["listener", "cause"]), "nidbridge_http_connections_closed_total";
    /// Messages that a stage settled, by outcome: done, delayed or parked.
    processed: Counters<2>, labelled(["stage", "outcome"]), "nidbridge_stage_processed_total";
    /// Time that a stage worked on one message.
    stage_duration: Histograms<1>, histograms(HOP, ["stage"]), "nidbridge_stage_duration_seconds";
    /// Messages that a stage delayed for a retry, by cause.
    retries: Counters<2>, labelled(["stage", "cause"]), "nidbridge_retries_total";
    /// Messages and attempts that a stage parked for an operator, by cause.
    dead_lettered: Counters<2>, labelled(["stage", "cause"]), "nidbridge_dead_lettered_total";
    /// Messages that a stage is working on now.
    in_flight: Gauges<1>, labelled(["stage"]), "nidbridge_inflight";
    /// Messages published to the broker, by outcome: confirmed, or why not.
    published: Counters<2>, labelled(["exchange", "outcome"]), "nidbridge_published_total";
    /// Time from publishing a message until the broker's confirm, or until it failed.
    publish_confirm: Histograms<1>, histograms(HOP, ["exchange"]), "nidbridge_publish_confirm_seconds";
    /// Answers that the confirmer wrote to OpenCRVS, by outcome, and writes that failed, by cause.
    confirm: Counters<1>, labelled(["outcome"]), "nidbridge_confirm_total";
    /// Time from the front's 202 to the end of the registration in OpenCRVS.
    end_to_end: Histogram, histogram(LIFE), "nidbridge_end_to_end_seconds";
    /// Connection to the broker: 1 open, 0 not.
    broker_connected: Gauges<1>, labelled(["link"]), "nidbridge_broker_connected";
    /// Circuit breaker state: 0 closed, 1 half-open, 2 open.
    breaker_state: Gauges<1>, labelled(["dependency"]), "nidbridge_breaker_state";
    /// Times that the circuit breaker opened.
    breaker_opened: Counters<1>, labelled(["dependency"]), "nidbridge_breaker_opened_total";
    /// Times that a lost connection to the broker was opened again.
    broker_reconnects: Counters<1>, labelled(["link"]), "nidbridge_broker_reconnects_total";
    /// Messages that were handled but not acknowledged; the broker delivers them again.
    unsettled: Counters<1>, labelled(["stage"]), "nidbridge_unsettled_total";
    /// Registrations that OpenCRVS dates in the future (`STAMP_TOLERANCE`), by dialect.
    stamps_in_future: Counters<1>, labelled(["dialect"]), "nidbridge_stamps_in_future_total";
    /// Registrations that a newer attempt superseded before they arrived, by the stamp of the newer
    /// one: `believable` or future.
    superseded_on_arrival: Counters<1>, labelled(["newer"]), "nidbridge_superseded_on_arrival_total";
    /// Requests sent to the ID system, by event kind.
    requested: Counters<1>, labelled(["event"]), "nidbridge_requests_total";
    /// Reads of a registration in OpenCRVS before the ID system is asked, by outcome: genuine,
    /// `submission_only` (OpenCRVS gave neither name nor date of birth), `not_in_opencrvs`,
    /// withdrawn (OpenCRVS moved the record on), `not_yet` (OpenCRVS does not show it yet), failed
    /// (OpenCRVS could not be read) or unchecked (no credential may read it; the ID system was
    /// asked).
    send_checks: Counters<1>, labelled(["outcome"]), "nidbridge_send_checks_total";
    /// Registrations that the ID system is not asked about, by kind of event and cause: event (the
    /// ID system has nothing to do with this kind), `no_id` or `no_person` (nothing identifies the
    /// deceased) or `other_id` (the deceased has an identifier, but not of the type
    /// `CONFIRM_IDENTIFIER_TYPE`).
    not_asked: Counters<2>, labelled(["event", "cause"]), "nidbridge_not_asked_total";
    /// Replies of the ID system, by status.
    replies: Counters<1>, labelled(["status"]), "nidbridge_replies_total";
    /// Runs of the sweeper, by outcome: done, elsewhere (another worker sweeps), told (the process
    /// was told to stop) or stopped (by a failure).
    sweeps: Counters<1>, labelled(["outcome"]), "nidbridge_sweeps_total";
    /// Attempts whose next message the sweeper published again, by state.
    swept: Counters<1>, labelled(["state"]), "nidbridge_swept_total";
    /// Record tokens, by outcome: judged (checked), orphaned, renewed, refused, away (auth does not
    /// answer) or `no_longer` (the token needs no renewal any more).
    tokens: Counters<1>, labelled(["outcome"]), "nidbridge_tokens_total";
    /// Records that were read because they wait in OpenCRVS without an open attempt, by outcome:
    /// found (unheard, and taken in), known (the attempt has ended or is parked), young (younger
    /// than `OPENCRVS_UNHEARD_AFTER`), `not_waiting` or unusable.
    unheard: Counters<1>, labelled(["outcome"]), "nidbridge_unheard_total";
    /// Records whose token, personal data and ID were erased.
    erased: Counter, Counter::default(), "nidbridge_erased_total";
    /// Requests proxied to the country's configuration service, by outcome: answered, left (the
    /// caller hung up), or why not.
    passed: Counters<1>, labelled(["outcome"]), "nidbridge_passed_total";
    /// Requests that are being proxied now.
    passing: Gauge, Gauge::default(), "nidbridge_passing";
    /// Callers that were to get a sync answer, by outcome: answered, late, stopped (the front
    /// stops), full (`FRONT_WAITERS`) or unheard (no answers reach the front).
    waited: Counters<1>, labelled(["outcome"]), "nidbridge_waited_total";
    /// Callers that wait for their sync answer now.
    waiting: Gauge, Gauge::default(), "nidbridge_waiting";
    /// Registrations that the front stored in its spool.
    spooled: Counter, Counter::default(), "nidbridge_spooled_total";
    /// Registrations in the front's spool.
    spool_files: Gauge, Gauge::default(), "nidbridge_spool_files";
    /// Bytes of the registrations in the front's spool.
    spool_bytes: Gauge, Gauge::default(), "nidbridge_spool_bytes";
    /// Events that an operator must look at, by cause (`nidbridge causes` explains each).
    alarms: Counters<1>, labelled(["cause"]), "nidbridge_alarms_total";
    /// Calls of the webhook, by outcome: taken or refused; and alerts that were `given_up`.
    alerts: Counters<1>, labelled(["outcome"]), "nidbridge_alerts_total";
}

impl Metrics {
    /// All metrics in the text format of `OpenMetrics` 1.0, which Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a `String` does not fail. If it did, half a page would be better than none.
        encode(&mut text, &self.registry).unwrap_or_default();
        text
    }
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

#[cfg(test)]
mod tests;
