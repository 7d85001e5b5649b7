//! `nidbridge simulate nid`.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::{NidSim, NidState, VendorSettings};
use crate::broker::{Link, LinkSettings, Topology};
use crate::pipeline::names;
use crate::telemetry::Metrics;

/// A simulated ID system on the queue contract.
#[derive(Debug, Clone, clap::Args)]
pub struct NidArgs {
    /// URL of the broker and the vendor's vhost, with the vendor's own user.
    #[arg(long, default_value = "amqp://guest:guest@localhost:5672/nid", value_name = "URL")]
    pub amqp_url: SecretString,
    #[command(flatten)]
    pub behaviour: VendorSettings,
}

/// Connects to the vendor's vhost. A vendor may not declare queues: the bridge declares them.
pub fn vendor_link(name: &'static str, url: SecretString) -> Link {
    let settings = LinkSettings { apply_topology: false, ..LinkSettings::new(name, url) };
    Link::open(&settings, Topology::empty(names::NID_VHOST), Arc::new(Metrics::new()))
}

/// Runs until stopped; logs what the ID system saw and sent.
pub async fn run(args: NidArgs, stop: CancellationToken) {
    let link = vendor_link("simulated-id-system", args.amqp_url);
    let sim = NidSim::start(args.behaviour, &link);
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(10))).await.is_some() {
        report(&sim.state());
    }
    report(&sim.state());
    sim.stop().await;
    link.close().await;
}

fn report(seen: &NidState) {
    tracing::info!(
        requests = seen.requests,
        persons = seen.persons,
        issued = seen.ended("issued"),
        recorded = seen.ended("recorded"),
        rejected = seen.ended("rejected"),
        persons_doubled = seen.persons_doubled,
        "what the ID system saw"
    );
}
