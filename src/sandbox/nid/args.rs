//! `nidbridge simulate nid`.

use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::{NidSim, NidState, Rejects, VendorSettings};
use crate::broker::{Link, LinkSettings, Topology};
use crate::pipeline::names;

/// A simulated ID system on the queue contract.
#[derive(Debug, Clone, clap::Args)]
pub struct NidArgs {
    /// URL of the broker and the vendor's vhost, with the vendor's own user.
    #[arg(long, default_value = "amqp://guest:guest@localhost:5672/nid", value_name = "URL")]
    pub amqp_url: SecretString,
    /// Time from a request to its answer.
    #[arg(long, default_value = "50..400", value_parser = span, value_name = "MIN..MAX")]
    pub latency_ms: (u64, u64),
    /// Reject every submission of a rejected person, corrected or not.
    #[arg(long)]
    pub reject_for_good: bool,
    #[command(flatten)]
    pub behaviour: VendorSettings,
}

impl NidArgs {
    fn settings(&self) -> VendorSettings {
        VendorSettings {
            latency_min: Duration::from_millis(self.latency_ms.0),
            latency_max: Duration::from_millis(self.latency_ms.1),
            rejects: if self.reject_for_good { Rejects::EveryTime } else { Rejects::EachSubmission },
            ..self.behaviour.clone()
        }
    }
}

/// Runs until stopped; returns what the ID system saw and sent.
pub async fn run(args: NidArgs, stop: CancellationToken) -> NidState {
    // A vendor may not declare queues: the bridge declares them.
    let topology = Topology::empty(names::NID_VHOST);
    let link = LinkSettings {
        apply_topology: false,
        ..LinkSettings::new("simulated-id-system", args.amqp_url.clone())
    };
    let link = Link::open(&link, topology, std::sync::Arc::new(crate::telemetry::Metrics::new()));
    let sim = NidSim::start(args.settings(), &link);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(Duration::from_secs(10)) => report(&sim.state()),
        }
    }
    let seen = sim.state();
    sim.stop().await;
    link.close().await;
    report(&seen);
    seen
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

fn span(text: &str) -> Result<(u64, u64), String> {
    let wrong = || "write MIN..MAX in milliseconds, such as 50..400".to_owned();
    let (min, max) = text.split_once("..").ok_or_else(wrong)?;
    let (min, max) = (min.parse().map_err(|_| wrong())?, max.parse().map_err(|_| wrong())?);
    if min <= max { Ok((min, max)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn parse(line: &[&str]) -> Result<NidArgs, clap::Error> {
        let command = NidArgs::augment_args(Command::new("nid"));
        let matches = command.try_get_matches_from(std::iter::once(&"nid").chain(line))?;
        NidArgs::from_arg_matches(&matches)
    }

    #[test]
    fn shares_and_spans_are_checked_where_they_are_given() {
        let args = parse(&["--latency-ms", "5..9", "--reject", "0.25"]).unwrap();
        assert_eq!((args.settings().latency_max, args.behaviour.reject), (Duration::from_millis(9), 0.25));
        assert!(parse(&[]).is_ok());
        for wrong in [["--reject", "2"], ["--reject", "NaN"], ["--latency-ms", "9..5"], ["--latency-ms", "9"]]
        {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }
}
