//! Many registrations at a steady rate, with registrars who submit rejected records again.

use std::num::ParseIntError;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::generations::{Generation, Generations};
use super::record::Status;
use super::{OpencrvsSim, SimulateError, SubmitOptions};
use crate::sandbox::population::{Declaration, Mix, Population};
use crate::sandbox::random::Sequence;

/// How far a clock is ahead that stamps submissions in the future.
const CLOCK_AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// The registrations to submit. Each option is declared once, with its default on the command line.
#[derive(Debug, Clone, Parser)]
pub struct RunOptions {
    /// URL of the bridge's front.
    #[arg(long, default_value = "http://127.0.0.1:3040/", value_name = "URL")]
    pub front: Url,
    /// The generation or release of OpenCRVS that the records belong to.
    #[arg(
        long = "release",
        visible_alias = "generation",
        value_enum,
        default_value_t,
        value_name = "RELEASE"
    )]
    pub generations: Generations,
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
    #[command(flatten)]
    pub mix: Mix,
    /// The share of submissions whose answer is lost on the way.
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    pub lost_answers: f64,
    /// Whether answers that refuse can be lost as well.
    #[arg(skip)]
    pub lost_refusals: bool,
    /// The share of records whose first submission carries the time of a clock that is a day ahead.
    #[arg(skip)]
    pub future_stamps: f64,
    /// The share of refused records that the registrar corrects and submits again.
    #[arg(long, default_value_t = 0.9, value_name = "SHARE")]
    pub resubmit: f64,
    /// Time that the registrar takes to correct and submit a record again.
    #[arg(long = "resubmit-after-ms", default_value = "2000", value_parser = milliseconds,
          value_name = "MILLISECONDS")]
    pub resubmit_after: Duration,
    /// The maximum number of submissions of a record.
    #[arg(skip = 5_usize)]
    pub attempts: usize,
    /// The same seed makes the same families and the same faults.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

fn milliseconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}

impl RunOptions {
    /// 500 registrations at 50 a second, with some lost answers.
    pub fn to(front: Url) -> Self {
        Self {
            front,
            registrations: Some(500),
            rate: 50.0,
            in_flight: 32,
            lost_answers: 0.08,
            resubmit_after: Duration::from_millis(500),
            ..Self::parse_from(["load"])
        }
    }
}

impl OpencrvsSim {
    /// Submits a load. Returns when all submissions are done, including repeated ones, or after
    /// `stop`.
    ///
    /// # Errors
    /// [`SimulateError`] when no token can be signed. What the bridge answers is in the tally.
    pub async fn run(&self, options: RunOptions, stop: CancellationToken) -> Result<(), SimulateError> {
        let options = Arc::new(options);
        let permits = Arc::new(Semaphore::new(options.in_flight.max(1)));
        let people = Population::new(options.seed, options.mix);
        let wanted =
            options.registrations.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
        let mut running: JoinSet<Result<(), SimulateError>> = JoinSet::new();
        let started = Instant::now();
        for declaration in people.take(wanted) {
            if !wait_until_due(&options, started, declaration.index, &stop).await {
                break;
            }
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
            let registration = Registration { sim: self.clone(), options: Arc::clone(&options), declaration };
            let (permits, stop) = (Arc::clone(&permits), stop.clone());
            running.spawn(async move {
                tokio::select! {
                    done = registration.register(permit, &permits) => done,
                    () = stop.cancelled() => Ok(()),
                }
            });
            while let Some(done) = running.try_join_next() {
                done.unwrap_or(Ok(()))?;
            }
        }
        while let Some(done) = running.join_next().await {
            done.unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

/// Waits until a registration is due; false if the run was stopped.
async fn wait_until_due(
    options: &RunOptions,
    started: Instant,
    index: u64,
    stop: &CancellationToken,
) -> bool {
    if options.rate > 0.0 {
        #[expect(clippy::cast_precision_loss, reason = "an index beyond 2^52 is never reached")]
        let at = started + Duration::from_secs_f64(index as f64 / options.rate);
        tokio::select! {
            () = sleep_until(at) => {}
            () = stop.cancelled() => {}
        }
    }
    !stop.is_cancelled()
}

struct Registration {
    sim: OpencrvsSim,
    options: Arc<RunOptions>,
    declaration: Declaration,
}

impl Registration {
    async fn register(
        self,
        permit: tokio::sync::OwnedSemaphorePermit,
        permits: &Arc<Semaphore>,
    ) -> Result<(), SimulateError> {
        let (seed, index) = (self.options.seed, self.declaration.index);
        let lose_answer = Sequence::LOST_ANSWER.at(seed, index) < self.options.lost_answers;
        let patient = Sequence::RESUBMISSION.at(seed, index) < self.options.resubmit;
        let lose_refusal = lose_answer && self.options.lost_refusals;
        let is_ahead = Sequence::FUTURE_STAMP.at(seed, index) < self.options.future_stamps;
        let at = is_ahead.then(|| Timestamp::now() + CLOCK_AHEAD);
        let mut submit = SubmitOptions { lose_answer, lose_refusal, at, ..SubmitOptions::default() };
        let mut permit = Some(permit);
        for attempt in 1..=self.options.attempts.max(1) {
            let (family, front) = (&self.declaration, &self.options.front);
            let outcome = match self.options.generations.of(index, self.sim.release()) {
                Generation::Fhir => self.sim.submit(family, front, submit).await?,
                Generation::Events(release) => {
                    submit.release = Some(release);
                    self.sim.submit_event(family, front, submit).await?
                }
            };
            drop(permit.take());
            if outcome.status != Status::Rejected || !patient {
                return Ok(());
            }
            sleep(self.options.resubmit_after).await;
            // A registrar who is refused again and again waits for a permit like everybody else.
            permit = Arc::clone(permits).acquire_owned().await.ok();
            let corrected = Some(format!("Corrected {attempt}"));
            submit = SubmitOptions { corrected, ..SubmitOptions::default() };
        }
        Ok(())
    }
}
