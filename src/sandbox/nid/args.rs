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
    /// The broker and the vendor's vhost, with the vendor's own user.
    #[arg(long, default_value = "amqp://guest:guest@localhost:5672/nid", value_name = "URL")]
    pub amqp_url: SecretString,
    /// The same seed treats the same request in the same way, and issues the same ID for it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long an answer takes.
    #[arg(long, default_value = "50..400", value_parser = span, value_name = "MIN..MAX")]
    pub latency_ms: (u64, u64),
    /// The share of submissions that are rejected.
    #[arg(long, default_value_t = 0.05, value_parser = share, value_name = "SHARE")]
    pub reject: f64,
    /// The share of submissions that the bridge is first asked to send again.
    #[arg(long, default_value_t = 0.05, value_parser = share, value_name = "SHARE")]
    pub retry: f64,
    /// The share of submissions that are first answered with `pending`.
    #[arg(long, default_value_t = 0.1, value_parser = share, value_name = "SHARE")]
    pub pending: f64,
    /// The share of answers that are sent twice.
    #[arg(long, default_value_t = 0.05, value_parser = share, value_name = "SHARE")]
    pub duplicate: f64,
    /// The share of answers that are late.
    #[arg(long, default_value_t = 0.02, value_parser = share, value_name = "SHARE")]
    pub late: f64,
    /// How late those are.
    #[arg(long, default_value_t = 5_000, value_name = "MILLISECONDS")]
    pub late_by_ms: u64,
    /// The share of submissions that are answered without any latency.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub at_once: f64,
    /// The share of submissions that are answered twice, differently.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub contradict: f64,
    /// Who is rejected is rejected with every submission, corrected or not.
    #[arg(long)]
    pub reject_for_good: bool,
    /// The share of submissions that something useless is sent for too.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub garbage: f64,
}

impl NidArgs {
    fn settings(&self) -> VendorSettings {
        VendorSettings {
            seed: self.seed,
            latency_min: Duration::from_millis(self.latency_ms.0),
            latency_max: Duration::from_millis(self.latency_ms.1),
            reject: self.reject,
            rejects: if self.reject_for_good { Rejects::EveryTime } else { Rejects::EachSubmission },
            at_once: self.at_once,
            contradict: self.contradict,
            retry: self.retry,
            pending: self.pending,
            duplicate: self.duplicate,
            late: self.late,
            late_by: Duration::from_millis(self.late_by_ms),
            garbage: self.garbage,
            ..VendorSettings::default()
        }
    }
}

/// Runs until stopped; returns what was seen and sent.
pub async fn run(args: NidArgs, stop: CancellationToken) -> NidState {
    // a vendor may declare nothing: the bridge makes the queues
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

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a share is a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is a number from 0 to 1".to_owned()) }
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
        assert_eq!((args.settings().latency_max, args.reject), (Duration::from_millis(9), 0.25));
        assert!(parse(&[]).is_ok());
        for wrong in [["--reject", "2"], ["--reject", "NaN"], ["--latency-ms", "9..5"], ["--latency-ms", "9"]]
        {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }
}
