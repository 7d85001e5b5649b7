//! The times at which a fault disturbed something, and which submissions that excuses.
//!
//! A caller of the FHIR generation treats a broken connection as a rejection, like every other
//! failure. In the events generation, a trigger that reached no front leaves its action requested
//! ([`arrivals`](super::arrivals)).
//!
//! Invariant: a fault of nginx or of a front excuses what nginx answers, and a fault of auth
//! excuses what a front answers to a token. Nothing else excuses a refusal: while the broker is
//! down, a front keeps registrations in its spool.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nidbridge::sandbox::opencrvs::{Attempt, CallResult, Record};
use tokio::time::sleep;

use super::faults::Target;
use super::harness::eventually;
use super::rig::{Rig, SOON};

/// The time from a kill of nginx until it accepts connections again.
const NGINX_DOWN: &str = "nginx is down";
/// A caller may see a broken connection a little later than it broke.
const AFTERMATH: SignedDuration = SignedDuration::from_millis(250);
/// Time in which a front that was killed starts again.
const RECOVERY: SignedDuration = SignedDuration::from_secs(5);
/// Time in which a front reads auth's key again.
const KEY_RECOVERY: SignedDuration = SignedDuration::from_secs(1);
/// The statuses that a front gives to a token that it cannot verify.
const OF_TOKEN: [u16; 2] = [401, 503];
/// The status of every refusal in the events generation, by a front or by nginx.
const OF_EVENTS: u16 = 400;
/// The status with which core itself answers a registration that is open already.
const CONFLICT: u16 = 409;

/// A fault with its beginning and its end.
#[derive(Debug)]
struct Disturbance {
    fault: String,
    from: Timestamp,
    until: Timestamp,
}

/// The faults of the run so far. A fault is here from its end on.
#[derive(Debug, Default)]
pub struct Disturbances(Mutex<Vec<Disturbance>>);

impl Disturbances {
    pub fn add(&self, fault: String, from: Timestamp, until: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Disturbance { fault, from, until });
    }

    /// Whether a submission met an outage of nginx.
    pub fn broke_off(&self, attempt: &Attempt) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|one| one.fault == NGINX_DOWN && met(attempt, (one.from, one.until)))
    }

    /// Counts the submissions that were refused, and all, while the fronts were well.
    pub fn refused_while_well<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Refusals {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refusals = Refusals::default();
        let attempts = records
            .flat_map(|record| record.attempts.iter().map(|attempt| (record.event.is_some(), attempt)));
        for (is_event, attempt) in attempts {
            let Some(answered) = attempt.answered else { continue };
            let status = match &attempt.result {
                Some(CallResult::Status(status)) => *status,
                Some(CallResult::NoAnswer(_)) => 0,
                None => continue,
            };
            let is_refused = !(200..300).contains(&status) && status != CONFLICT;
            let is_of_token = OF_TOKEN.contains(&status) || (is_event && status == OF_EVENTS);
            let excused = |one: &Disturbance| {
                (is_of_token && one.explains(["auth", "key_rotation"], KEY_RECOVERY, (attempt.at, answered)))
                    || (!OF_TOKEN.contains(&status)
                        && one.explains(["front", "nginx"], RECOVERY, (attempt.at, answered)))
            };
            if is_refused && all.iter().any(excused) {
                continue;
            }
            refusals.submitted += 1;
            if is_refused {
                refusals.refused += 1;
                refusals.examples.push(format!("{} {:?}", attempt.at, attempt.result));
            }
        }
        refusals
    }
}

impl Disturbance {
    /// Whether this is a fault of one of these kinds, and a submission met it or its aftermath.
    fn explains(
        &self,
        kinds: [&str; 2],
        recovery: SignedDuration,
        (posted, answered): (Timestamp, Timestamp),
    ) -> bool {
        let is_of_kind = kinds.iter().any(|kind| self.fault.contains(kind));
        is_of_kind && posted <= self.until + recovery && self.from <= answered
    }
}

/// Submissions while the fronts were well.
#[derive(Debug, Default)]
pub struct Refusals {
    submitted: u64,
    pub refused: u64,
    examples: Vec<String>,
}

impl Refusals {
    /// Whether more than 1 % were refused.
    pub fn are_too_many(&self) -> bool {
        self.refused > self.submitted / 100
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { submitted, refused, examples } = self;
        let some: Vec<&str> = examples.iter().take(8).map(String::as_str).collect();
        write!(
            f,
            "{refused} of {submitted} submissions were refused while the fronts were well: {}",
            some.join(", ")
        )
    }
}

fn met(attempt: &Attempt, (from, until): (Timestamp, Timestamp)) -> bool {
    let broken = matches!(attempt.result, Some(CallResult::NoAnswer(_)));
    broken && attempt.answered.is_some_and(|at| from <= at && at <= until + AFTERMATH)
}

/// Kills nginx and starts it again; returns how many submissions that broke.
pub async fn kill_nginx(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let mut nginx = rig.nginx.lock().await;
    let from = Timestamp::now();
    nginx.kill();
    sleep(lasts).await;
    nginx.restart();
    eventually(SOON, "nginx is back", async || nginx.answers().then_some(())).await;
    let until = Timestamp::now();
    rig.disturbances.add(NGINX_DOWN.to_owned(), from, until);
    sleep(Duration::try_from(AFTERMATH).unwrap_or_default()).await;
    let hit = |record: &Record| record.attempts.iter().filter(|one| met(one, (from, until))).count();
    let hits = rig.opencrvs.inspect(|records| records.all().map(|(_, record)| hit(record)).sum::<usize>());
    u64::try_from(hits).unwrap_or(u64::MAX)
}
