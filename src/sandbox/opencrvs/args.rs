//! `nidbridge simulate opencrvs`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::events::EventsArgs;
use super::{Calls, OpencrvsSettings, OpencrvsSim, RunOptions, Share, SimulateError, Tally};
use crate::sandbox::population::Mix;

/// A simulated OpenCRVS 1.7 to 2.1: auth, gateway, and registrars who register.
#[derive(Debug, Clone, clap::Args)]
pub struct OpencrvsArgs {
    #[command(flatten)]
    pub services: OpencrvsSettings,
    #[command(flatten)]
    pub load: RunOptions,
    /// Latency of each call to the gateway.
    #[arg(long, default_value_t = 20, value_name = "MILLISECONDS")]
    pub gateway_latency_ms: u64,
    /// A share of the calls to auth and gateway that go wrong, such as `confirm:cut_after=0.02` or
    /// `fetch:http/503=0.1`. May be given more than once.
    ///
    /// CALLS is confirm, action, fetch, search, read, exchange, token or key. The faults `http` and
    /// `http_after` take a status; `delay`, `hang_late` and `cut_late` take milliseconds. A wrong
    /// name prints the list of all faults.
    #[arg(long = "fault", value_name = "CALLS:FAULT=SHARE")]
    pub faults: Vec<Share>,
    #[command(flatten)]
    pub events: EventsArgs,
}

impl OpencrvsArgs {
    fn check(&self) -> Result<(), SimulateError> {
        let wrong = |text: String| Err(SimulateError::Argument(text));
        let Mix { deaths, marriages, .. } = self.load.mix;
        let shares = [deaths, marriages, self.load.lost_answers, self.load.resubmit];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || deaths + marriages > 1.0 {
            return wrong(
                "shares go from 0 to 1, and --deaths and --marriages together do not exceed 1".to_owned(),
            );
        }
        for (calls, name) in Calls::ALL {
            let of_these = self.faults.iter().filter(|fault| fault.calls == calls);
            if of_these.map(|fault| fault.share).sum::<f64>() > 1.0 {
                return wrong(format!("the shares of --fault {name}:… together do not exceed 1"));
            }
        }
        if !self.load.rate.is_finite() || self.load.rate < 0.0 {
            return wrong("--rate must be 0 or more".to_owned());
        }
        Ok(())
    }
}

/// Runs until stopped, and logs the figures every ten seconds if they have changed. Returns the
/// final figures.
///
/// # Errors
/// [`SimulateError`] when an address is taken or an argument makes no sense.
pub async fn run(args: OpencrvsArgs, stop: CancellationToken) -> Result<Tally, SimulateError> {
    args.check()?;
    let release = args.load.generations.release();
    let sim = OpencrvsSim::start(OpencrvsSettings { release, ..args.services }).await?;
    sim.faults().latency(Duration::from_millis(args.gateway_latency_ms));
    sim.faults().by_share(args.load.seed, &args.faults);
    if args.load.generations.has_events() {
        args.events.prepare(&sim, &args.load.front)?;
    }
    tracing::info!(auth = sim.auth_url(), gateway = sim.gateway_url(), "the simulated OpenCRVS listens");
    let running = async {
        sim.run(args.load, stop.clone()).await?;
        // The bridge may still confirm records.
        tracing::info!("the registrars have finished; the simulation goes on until it is stopped");
        stop.cancelled().await;
        Ok(())
    };
    let reporting = async {
        let mut reported = Tally::default();
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let seen = sim.tally();
            if seen != reported {
                report(&seen);
                reported = seen;
            }
        }
    };
    tokio::select! {
        done = running => done.map(|()| sim.tally()),
        () = reporting => Ok(sim.tally()),
    }
}

fn report(seen: &Tally) {
    tracing::info!(
        submitted = seen.submitted,
        accepted = seen.accepted,
        confirmed = seen.confirmed,
        rejected = seen.rejected,
        waiting = seen.waiting,
        confirmed_twice = seen.confirmed_twice,
        p50_ms = seen.p50_ms,
        p99_ms = seen.p99_ms,
        "what OpenCRVS saw"
    );
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;
    use crate::sandbox::opencrvs::Generations;

    fn checked(line: &[&str]) -> Result<OpencrvsArgs, SimulateError> {
        let command = OpencrvsArgs::augment_args(Command::new("opencrvs"));
        let matches = command.try_get_matches_from(std::iter::once(&"opencrvs").chain(line)).unwrap();
        let args = OpencrvsArgs::from_arg_matches(&matches).unwrap();
        args.check().map(|()| args)
    }

    #[test]
    fn one_option_names_the_release_and_what_the_records_belong_to() {
        for line in [["--release", "2.1"], ["--generation", "2.1"]] {
            let args = checked(&line).unwrap();
            assert_eq!(args.load.generations, Generations::V2_1);
        }
    }

    #[test]
    fn a_mix_that_cannot_be_is_refused() {
        let args = checked(&["--marriages", "0.3", "--seed", "9", "--resubmit-after-ms", "70"]).unwrap();
        assert_eq!((args.load.seed, args.load.resubmit_after), (9, Duration::from_millis(70)));
        let faults = ["--fault", "confirm:hang=0.1", "--fault", "key:http/503=0.2"];
        assert!(checked(&faults).is_ok());
        let too_many = ["--fault", "confirm:hang=0.6", "--fault", "confirm:cut_after=0.6"];
        assert!(matches!(checked(&too_many), Err(SimulateError::Argument(_))));
        for wrong in [["--deaths", "0.95"], ["--lost-answers", "1.5"], ["--rate", "inf"]] {
            assert!(matches!(checked(&wrong), Err(SimulateError::Argument(_))), "{wrong:?}");
        }
    }
}
