//! Watches whether a front can accept what OpenCRVS sends.
//!
//! Invariant: what makes a front refuse everything is seen in its `/readyz`.

use std::sync::Arc;

use tokio::sync::watch;

use super::auth_key::AuthKey;
use super::clock::ClockWatch;
use super::refused::RefusalWatch;
use super::runner::Runner;
use super::{Failure, parts};
use crate::admin::Readiness;
use crate::config::Config;
use crate::opencrvs::KeyStore;
use crate::telemetry::Metrics;

pub(crate) struct AcceptanceWatch {
    auth_key: AuthKey,
    clock: ClockWatch,
    refusals: RefusalWatch,
}

impl AcceptanceWatch {
    pub(crate) fn new(
        config: &Config,
        keys: &Arc<KeyStore>,
        readiness: &Readiness,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Failure> {
        let services = vec![parts::auth_clock(config)?];
        let clock = ClockWatch::new(config, services, readiness.warning("front_clock"), metrics);
        Ok(Self {
            auth_key: AuthKey::new(keys, readiness.condition("front_auth_key"), metrics),
            clock: clock.and_tokens_of(keys),
            refusals: RefusalWatch::new(readiness.warning("front_refusals"), metrics),
        })
    }

    pub(crate) fn run(self, runner: &mut Runner, refused: watch::Receiver<Option<String>>) {
        let Self { auth_key, clock, refusals } = self;
        runner.background(|stop| auth_key.fetch(stop));
        runner.background(|stop| clock.watch(stop));
        runner.background(|stop| refusals.watch(refused, stop));
    }
}
