//! The methods with which the processes report what happens.

use super::Metrics;
use crate::domain::{Cause, Dialect, EventKind, State};

impl Metrics {
    /// The front answered a registration; `kind` is [`EventKind::label`].
    pub fn front_request(&self, kind: &'static str, outcome: &'static str) {
        self.received.of([kind, outcome]).inc();
    }

    pub fn front_seconds(&self, seconds: f64) {
        self.http_duration.observe(seconds);
    }

    /// The number of open connections of a listener.
    pub fn connections(&self, listener: &'static str, count: usize) {
        self.connections.of([listener]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn connection_closed(&self, listener: &'static str, cause: &'static str) {
        self.connections_closed.of([listener, cause]).inc();
    }

    /// The number of requests that are being proxied changed by `more`, which may be negative.
    pub fn passing(&self, more: i64) {
        self.passing.inc_by(more);
    }

    /// A request was proxied, or could not be.
    pub fn passed(&self, outcome: &'static str) {
        self.passed.of([outcome]).inc();
    }

    /// An event that waits in OpenCRVS without an open attempt was read.
    pub fn unheard(&self, outcome: &'static str) {
        self.unheard.of([outcome]).inc();
    }

    /// The number of callers that wait for a sync answer now.
    pub fn waiting(&self, count: usize) {
        self.waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A caller that was to get a sync answer got it (`answered`); its time ran out (`late`); the
    /// front stopped (`stopped`); or it did not wait, because enough others do (`full`) or no
    /// copies of answers arrive (`unheard`).
    pub fn waited(&self, outcome: &'static str) {
        self.waited.of([outcome]).inc();
    }

    pub fn stage_processed(&self, stage: &'static str, outcome: &'static str, seconds: f64) {
        self.processed.of([stage, outcome]).inc();
        self.stage_duration.of([stage]).observe(seconds);
    }

    /// The number of messages that a stage is working on now.
    pub fn in_flight(&self, stage: &'static str, count: usize) {
        self.in_flight.of([stage]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn published(&self, exchange: &str, outcome: &'static str, seconds: f64) {
        self.published.of([exchange, outcome]).inc();
        self.publish_confirm.of([exchange]).observe(seconds);
    }

    pub fn parked(&self, stage: &'static str, cause: &'static str) {
        self.dead_lettered.of([stage, cause]).inc();
    }

    pub fn delayed(&self, stage: &'static str, cause: &'static str) {
        self.retries.of([stage, cause]).inc();
    }

    /// A registration with a stamp from the future was recorded.
    pub fn stamp_in_future(&self, dialect: Dialect) {
        self.stamps_in_future.of([dialect.as_str()]).inc();
    }

    /// A registration was recorded that a newer attempt had already superseded.
    pub fn superseded_on_arrival(&self, newer_from_future: bool) {
        self.superseded_on_arrival.of([if newer_from_future { "future" } else { "believable" }]).inc();
    }

    pub fn requested(&self, kind: &EventKind) {
        self.requested.of([kind.label()]).inc();
    }

    /// A registration was read in OpenCRVS before the ID system is asked.
    pub fn send_checked(&self, outcome: &'static str) {
        self.send_checks.of([outcome]).inc();
    }

    /// The ID system is not asked about a registration.
    pub fn not_asked(&self, kind: &EventKind, cause: &'static str) {
        self.not_asked.of([kind.label(), cause]).inc();
    }

    /// The ID system replied with this status of the queue contract.
    pub fn replied(&self, status: &'static str) {
        self.replies.of([status]).inc();
    }

    pub fn confirmed(&self, outcome: &'static str) {
        self.confirm.of([outcome]).inc();
    }

    pub fn end_to_end(&self, seconds: f64) {
        self.end_to_end.observe(seconds);
    }

    pub fn broker_connected(&self, link: &'static str, connected: bool) {
        self.broker_connected.of([link]).set(i64::from(connected));
    }

    /// The circuit breaker of a dependency changed its state: 0 closed, 1 half-open, 2 open.
    pub fn breaker(&self, dependency: &'static str, state: i64) {
        self.breaker_state.of([dependency]).set(state);
        let opened = self.breaker_opened.of([dependency]);
        if state == 2 {
            opened.inc();
        }
    }

    /// A run of the sweeper ended.
    pub fn sweep(&self, outcome: &'static str) {
        self.sweeps.of([outcome]).inc();
    }

    /// The sweeper published the next message of an attempt in this state again.
    pub fn swept(&self, state: State) {
        self.swept.of([state.as_str()]).inc();
    }

    pub fn token(&self, outcome: &'static str) {
        self.tokens.of([outcome]).inc();
    }

    pub fn erased(&self) {
        self.erased.inc();
    }

    pub fn spooled(&self) {
        self.spooled.inc();
    }

    /// The number of files and of bytes in the front's spool now.
    pub fn spool_holds(&self, files: usize, bytes: u64) {
        self.spool_files.set(i64::try_from(files).unwrap_or(i64::MAX));
        self.spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub fn reconnected(&self, link: &'static str) {
        self.broker_reconnects.of([link]).inc();
    }

    pub fn unsettled(&self, stage: &'static str) {
        self.unsettled.of([stage]).inc();
    }

    pub fn alarm(&self, cause: Cause) {
        self.alarms.of([cause.as_str()]).inc();
    }

    /// Number of alarms for this cause so far.
    pub fn alarms(&self, cause: Cause) -> u64 {
        self.alarms.of([cause.as_str()]).get()
    }

    /// A call of the webhook ended.
    pub fn alert(&self, outcome: &'static str) {
        self.alerts.of([outcome]).inc();
    }

    /// The webhook did not accept `count` alerts within `alert.give_up_after`.
    pub fn alerts_given_up(&self, count: u64) {
        self.alerts.of(["given_up"]).inc_by(count);
    }
}
