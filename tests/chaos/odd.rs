//! Registrations that are not as they should be: with a stamp in the future, without what the ID
//! system must know, or invented by somebody who has a valid token.
//!
//! Invariant: a stamp in the future changes nothing for its record, and neither does an invented
//! registration for it. An unfit registration is refused in the request of its caller, and the ID
//! system never sees an invented one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nidbridge::domain::{Cause, State};
use nidbridge::ledger::{AttemptSummary, Recorded};
use nidbridge::sandbox::accounts::request_id;
use nidbridge::sandbox::nid::Asked;
use nidbridge::sandbox::opencrvs::{CallResult, Generation, Record};
use nidbridge::sandbox::population::{Declaration, Mix, Population};

use super::accounts::{Accounts, Evidence};
use super::faults::Target;
use super::options::Options;
use super::rig::Rig;

/// The share of records that are odd, for each kind of oddity.
const SHARE: f64 = 0.01;

pub const FUTURE_STAMP: &str = "future_stamp";
pub const UNFIT: &str = "unfit";

/// The share of records with this oddity.
pub fn share(options: &Options, name: &str) -> f64 {
    let chosen = options.chooses(name) && !options.calm;
    if chosen { SHARE } else { 0.0 }
}

pub fn mix(options: &Options) -> Mix {
    Mix { unfit: share(options, UNFIT), ..Mix::default() }
}

/// The records that were invented, each with whether a front accepted it.
#[derive(Debug, Default)]
pub struct Invented(Mutex<Vec<(Declaration, bool)>>);

impl Invented {
    fn all(&self) -> Vec<(Declaration, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn has(&self, record: &str) -> bool {
        self.all().iter().any(|(family, _)| family.record == record)
    }
}

/// An invented person about whom the ID system would be asked.
fn invented_family(rig: &Rig, wanted: impl Fn(&Declaration) -> bool) -> Declaration {
    let mix = Mix { deaths: 0.4, marriages: 0.0, ..Mix::default() };
    let people = Population::new(rig.seed ^ 0x696e_7665_6e74, mix);
    let mut wanted = people.filter(|family| Asked::of(family).is_some() && wanted(family));
    wanted.nth(rig.invented.all().len()).expect("endless people")
}

/// Posts a record that OpenCRVS never had; returns 1 if a front accepted it.
pub async fn invent(rig: &Rig, _: Target, _: Duration) -> u64 {
    let family = invented_family(rig, |_| true);
    let nth = rig.invented.all().len();
    let release = match rig.generations.of(nth as u64, rig.opencrvs.release()) {
        Generation::Fhir => None,
        Generation::Events(release) => Some(release),
    };
    let result = rig.opencrvs.invent(&family, &rig.front, release).await.expect("a token");
    let accepted = result.is_success();
    rig.invented.0.lock().unwrap_or_else(PoisonError::into_inner).push((family, accepted));
    u64::from(accepted)
}

/// Posts an invented person for a genuine record that waits, later than its own submission; returns
/// 1 if a front accepted it. The record has to end as if nobody had done so.
pub async fn usurp(rig: &Rig, _: Target, _: Duration) -> u64 {
    let waiting = rig.opencrvs.waiting();
    let mut genuine = waiting.iter().filter_map(|id| rig.people.get(id));
    let Some(genuine) = genuine.find(|family| Asked::of(family).is_some() && !family.is_unfit) else {
        return 0;
    };
    let mut family = invented_family(rig, |family| family.kind == genuine.kind);
    family.record.clone_from(&genuine.record);
    family.tracking_id.clone_from(&genuine.tracking_id);
    let file = rig.opencrvs.record(&genuine.record).and_then(|record| record.event);
    let release = file.and_then(|file| Some(file.requests.last()?.release));
    let result = rig.opencrvs.invent(&family, &rig.front, release).await.expect("a token");
    u64::from(result.is_success())
}

/// Whether the ledger gives this cause.
pub fn stopped_by(summary: &AttemptSummary, cause: Cause) -> bool {
    summary.cause.as_ref().and_then(Recorded::known) == Some(cause)
}

/// Judges the invented records: parked, with an operator told, and never sent to the ID system.
pub fn judge_invented(accounts: &mut Accounts, evidence: &Evidence<'_>) {
    for (family, accepted) in evidence.rig.invented.all() {
        let id = family.record.as_str();
        let told = evidence.summaries.get(id);
        let is_parked =
            told.is_some_and(|told| told.state == State::Parked && stopped_by(told, Cause::NotInOpencrvs));
        accounts.invented += u64::from(accepted);
        if accepted && !is_parked {
            accounts.wrong(id, &format!("invented, and the ledger says {told:?}"));
        }
        let asked = request_id(id, family.kind).is_some_and(|id| evidence.nid.contents.contains_key(&id));
        if asked || evidence.nid.numbers.values().any(|number| number.contains(&family.tracking_id)) {
            accounts.wrong(id, "invented, and the ID system was asked about it");
        }
    }
}

/// Judges the submissions of an unfit registration. Returns whether the record is unfit and ended
/// as such a record should.
pub fn judge_unfit(accounts: &mut Accounts, id: &str, record: &Record, evidence: &Evidence<'_>) -> bool {
    if !evidence.rig.people.get(id).is_some_and(|family| family.is_unfit) {
        return false;
    }
    accounts.unfit += 1;
    // nginx answers 202 by itself where the bridge can find the action.
    let by_nginx = record.event.is_some() && evidence.rig.client.is_some();
    let refusal = if record.event.is_some() { 400 } else { 422 };
    for attempt in &record.attempts {
        match attempt.result {
            Some(CallResult::Status(status)) if status == refusal || status >= 500 || status == 401 => {}
            Some(CallResult::Status(202)) if by_nginx => {}
            Some(CallResult::Status(status)) => {
                accounts.wrong(id, &format!("unfit, and answered {status} instead of {refusal}"));
            }
            Some(CallResult::NoAnswer(_)) | None => {}
        }
    }
    let told = evidence.summaries.get(id);
    record.event.is_some() && told.is_some_and(|told| stopped_by(told, Cause::Unfit))
}
