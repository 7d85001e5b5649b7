//! `nidbridge simulate opencrvs`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Calls, Generations, OpencrvsSettings, OpencrvsSim, RunOptions, Share, SimulateError, Tally};
use crate::sandbox::population::Mix;

/// A simulated OpenCRVS 1.7 to 2.0: auth, gateway, and registrars who register.
#[derive(Debug, Clone, clap::Args)]
pub struct OpencrvsArgs {
    /// Listen address of auth, for the bridge's `AUTH_URL`.
    #[arg(long, default_value = "127.0.0.1:4040", value_name = "ADDRESS")]
    pub auth_listen: SocketAddr,
    /// Listen address of the gateway, for the bridge's `GATEWAY_URL`.
    #[arg(long, default_value = "127.0.0.1:7070", value_name = "ADDRESS")]
    pub gateway_listen: SocketAddr,
    /// Listen address of the country's configuration service, for the bridge's
    /// `COUNTRY_CONFIG_URL`.
    #[arg(long, default_value = "127.0.0.1:3035", value_name = "ADDRESS")]
    pub country_config_listen: SocketAddr,
    /// The generation of OpenCRVS that the records belong to.
    #[arg(long, value_enum, default_value_t)]
    pub generation: Generations,
    /// URL of the bridge's front.
    #[arg(long, default_value = "http://127.0.0.1:3040/", value_name = "URL")]
    pub front: Url,
    /// Number of registrations. Without it, registrations go on until stopped. 0 only serves auth
    /// and gateway.
    #[arg(long, value_name = "COUNT")]
    pub registrations: Option<u64>,
    /// Registrations per second; 0 submits as fast as the bridge answers.
    #[arg(long, default_value_t = 2.0, value_name = "PER SECOND")]
    pub rate: f64,
    /// Maximum number of concurrent calls to the front.
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    pub in_flight: usize,
    /// The same seed makes the same families and the same faults.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The share of deaths.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    pub deaths: f64,
    /// The share of marriages.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    pub marriages: f64,
    /// The share of submissions whose answer is lost on the way.
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    pub lost_answers: f64,
    /// The share of refused records that the registrar corrects and submits again.
    #[arg(long, default_value_t = 0.9, value_name = "SHARE")]
    pub resubmit: f64,
    /// Time that the registrar takes to correct and submit a record again.
    #[arg(long, default_value_t = 2_000, value_name = "MILLISECONDS")]
    pub resubmit_after_ms: u64,
    /// Latency of each call to the gateway.
    #[arg(long, default_value_t = 20, value_name = "MILLISECONDS")]
    pub gateway_latency_ms: u64,
    /// A share of the calls to auth and gateway that go wrong, such as `confirm:cut_after=0.02` or
    /// `fetch:http/503=0.1`. May be given more than once.
    ///
    /// CALLS is confirm, action, fetch, search, exchange or key. The faults `http` and `http_after`
    /// take a status; `delay`, `hang_late` and `cut_late` take milliseconds. A wrong name prints
    /// the list of all faults.
    #[arg(long = "fault", value_name = "CALLS:FAULT=SHARE")]
    pub faults: Vec<Share>,
    /// Lifetime of a record token.
    #[arg(long, default_value_t = 604_800, value_name = "SECONDS")]
    pub token_lifetime: u32,
}

impl OpencrvsArgs {
    fn load(&self) -> Result<RunOptions, SimulateError> {
        let shares = [self.deaths, self.marriages, self.lost_answers, self.resubmit];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || self.deaths + self.marriages > 1.0 {
            return Err(SimulateError::Argument(
                "shares go from 0 to 1, and --deaths and --marriages together do not exceed 1".to_owned(),
            ));
        }
        for calls in Calls::ALL {
            let of_these = self.faults.iter().filter(|fault| fault.calls == calls);
            if of_these.map(|fault| fault.share).sum::<f64>() > 1.0 {
                let wrong = format!("the shares of --fault {}:… together do not exceed 1", calls.name());
                return Err(SimulateError::Argument(wrong));
            }
        }
        if !self.rate.is_finite() || self.rate < 0.0 {
            return Err(SimulateError::Argument("--rate must be 0 or more".to_owned()));
        }
        Ok(RunOptions {
            generations: self.generation,
            registrations: self.registrations,
            rate: self.rate,
            in_flight: self.in_flight,
            mix: Mix { deaths: self.deaths, marriages: self.marriages, ..Mix::default() },
            lost_answers: self.lost_answers,
            resubmit: self.resubmit,
            resubmit_after: Duration::from_millis(self.resubmit_after_ms),
            seed: self.seed,
            ..RunOptions::to(self.front.clone())
        })
    }
}

/// Runs until stopped, and logs the figures every ten seconds. Returns the final figures.
///
/// # Errors
/// [`SimulateError`] when an address is taken or an argument makes no sense.
pub async fn run(args: OpencrvsArgs, stop: CancellationToken) -> Result<Tally, SimulateError> {
    let load = args.load()?;
    let sim = OpencrvsSim::start(OpencrvsSettings {
        auth: args.auth_listen,
        gateway: args.gateway_listen,
        country_config: args.country_config_listen,
        token_lifetime_s: i64::from(args.token_lifetime),
    })
    .await?;
    sim.faults().latency(Duration::from_millis(args.gateway_latency_ms));
    sim.faults().by_share(args.seed, &args.faults);
    tracing::info!(auth = sim.auth_url(), gateway = sim.gateway_url(), "the simulated OpenCRVS listens");
    let running = sim.run(load, stop.clone());
    let reporting = async {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            report(&sim.tally());
        }
    };
    tokio::select! {
        done = running => done?,
        () = reporting => {}
    }
    report(&sim.tally());
    // The bridge may still confirm records.
    stop.cancelled().await;
    Ok(sim.tally())
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

    fn load(line: &[&str]) -> Result<RunOptions, SimulateError> {
        let command = OpencrvsArgs::augment_args(Command::new("opencrvs"));
        let matches = command.try_get_matches_from(std::iter::once(&"opencrvs").chain(line)).unwrap();
        OpencrvsArgs::from_arg_matches(&matches).unwrap().load()
    }

    #[test]
    fn a_mix_that_cannot_be_is_refused() {
        assert_eq!(load(&["--marriages", "0.3", "--seed", "9"]).unwrap().seed, 9);
        let faults = ["--fault", "confirm:hang=0.1", "--fault", "key:http/503=0.2"];
        assert!(load(&faults).is_ok());
        let too_many = ["--fault", "confirm:hang=0.6", "--fault", "confirm:cut_after=0.6"];
        assert!(matches!(load(&too_many), Err(SimulateError::Argument(_))));
        for wrong in [["--deaths", "0.95"], ["--lost-answers", "1.5"], ["--rate", "inf"]] {
            assert!(matches!(load(&wrong), Err(SimulateError::Argument(_))), "{wrong:?}");
        }
    }
}
