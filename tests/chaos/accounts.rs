//! The accounts of a run. For each record they compare how it should have ended, according to what
//! its caller was answered and what the ID system decided, with how it ended in OpenCRVS.
//!
//! Invariant: the ledger is asked only whether an operator was told about a record that must wait
//! for one. A record that did not end as expected is counted in `unexplained` or `lost`, never in a
//! count of records that ended well.

use std::collections::HashMap;

use nidbridge::domain::State;
use nidbridge::ledger::AttemptSummary;
use nidbridge::sandbox::accounts::{Ending, Told, Totals, content_faults, request_id};
use nidbridge::sandbox::nid::{Asked, Final, NidState, VendorSettings};
use nidbridge::sandbox::opencrvs::{Confirmed, Effect, Fault, Record, Records, Status};
use nidbridge::sandbox::population::Kind;
use serde::Serialize;

use super::arrivals::{self, Attempts};
use super::events;
use super::odd;
use super::rig::Rig;

/// How a record should end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    ending: Ending,
    /// The ID that was issued for a birth.
    id: Option<String>,
}

impl Expected {
    fn confirmed(id: Option<String>) -> Self {
        Self { ending: Ending::Confirmed, id }
    }

    fn without_id(ending: Ending) -> Self {
        Self { ending, id: None }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Accounts {
    /// None should remain parked: the run does what an operator would do. It gives every
    /// registration a fresh token after a change of auth's key, resumes those that 2.1 gives no
    /// token, and asks the ID system again after an ID that belongs to another person.
    #[serde(flatten)]
    pub totals: Totals,
    /// Everything that is not as expected and has no count of its own.
    pub unexplained: u64,
    /// Records of the events generation that the index shows as requested until somebody opens
    /// them. Our 202 came too late, because a front was stopped after it had stored the
    /// registration and before it had answered.
    pub late_index: u64,
    /// Actions of the events generation that stay requested because nginx was down when their
    /// trigger came, was killed while it handled the trigger, or answered 202 by itself. Nothing
    /// behind nginx received the trigger. With a client there must be none: the bridge finds them.
    pub unheard: u64,
    /// Actions that the bridge found in OpenCRVS: their trigger reached no front, or the message of
    /// the front took longer than `OPENCRVS_UNHEARD_AFTER`.
    pub found: u64,
    /// Submissions that were refused, or not answered, while nothing that a front needs was
    /// disturbed.
    pub refused_while_well: u64,
    /// Records that OpenCRVS never had, and that a front accepted.
    pub invented: u64,
    /// Registrations without what the ID system must know.
    pub unfit: u64,
    /// Registrations that core overwrote because of a failed submission: the 2xx came too late, or
    /// not at all.
    pub overwritten: u64,
    /// The records and actions in `unheard`.
    #[serde(skip)]
    pub unheard_of: Vec<(String, String)>,
    /// Whether there must be none in `unheard`.
    #[serde(skip)]
    all_are_heard: bool,
}

/// The sources of the accounts.
pub struct Evidence<'a> {
    pub rig: &'a Rig,
    pub records: &'a Records,
    pub nid: &'a NidState,
    pub summaries: &'a HashMap<String, AttemptSummary>,
    pub attempts: &'a Attempts,
    /// The settings by which the ID system decides.
    pub vendor: &'a VendorSettings,
}

impl Accounts {
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let id_owner = evidence.rig.id_owner.as_str();
        let totals = Totals::of(evidence.records, evidence.nid, Some(id_owner));
        let all_are_heard = evidence.rig.client.is_some();
        let mut accounts = Self { totals, all_are_heard, ..Self::default() };
        for (id, record) in evidence.records.all().filter(|(id, _)| *id != id_owner) {
            accounts.overwritten += u64::from(record.overwritten);
            accounts.judge(id, record, evidence);
        }
        odd::judge_invented(&mut accounts, evidence);
        let fit = evidence
            .records
            .all()
            .filter(|(id, _)| !evidence.rig.people.get(*id).is_some_and(|family| family.is_unfit));
        let refused = evidence.rig.disturbances.refused_while_well(fit.map(|(_, record)| record));
        accounts.refused_while_well = refused.refused;
        if refused.are_too_many() {
            accounts.unexplained += refused.refused;
            accounts.totals.bad.insert("refusals".to_owned(), refused.to_string());
        }
        for (what, count) in [
            ("malformed requests", evidence.nid.malformed),
            ("changed repeats", evidence.nid.changed_repeats),
        ] {
            accounts.unexplained += count;
            if count > 0 {
                accounts.totals.bad.insert(what.to_owned(), format!("{count} of them at the ID system"));
            }
        }
        accounts
    }

    fn judge(&mut self, id: &str, record: &Record, evidence: &Evidence<'_>) {
        let twice = record.confirms.iter().any(|one| one.status_before == Status::Registered);
        if twice || record.confirms.len() > record.attempts.len() {
            self.totals.confirmed_twice += 1;
            self.bad(id, format!("confirmed {} times", record.confirms.len()));
        }
        if overtaken(id, record, evidence.records) {
            self.wrong(id, "an older answer over a newer attempt");
        }
        if let Some(family) = evidence.rig.people.get(id) {
            self.totals.check_contents(id, &content_faults(family, record, evidence.nid));
        }
        let mut waits = odd::judge_unfit(self, id, record, evidence);
        if let Some(file) = &record.event {
            events::judge(self, id, record, file);
            waits |= arrivals::judge(self, id, record, file, evidence);
        }
        let told = evidence.summaries.get(id);
        let state = told.map(|told| told.state);
        self.totals.parked += u64::from(state == Some(State::Parked));
        if waits {
            return;
        }
        let expected = expected(id, record, evidence);
        let told_of = Told { held: state == Some(State::Held), parked: false };
        let ending = Ending::of(record, told_of);
        let confirmed = Ending::Confirmed;
        self.totals.confirmed_expected += u64::from(expected.ending == confirmed);
        if ending == expected.ending {
            self.totals.count(ending);
            // The state of the ledger when the record has ended so. A registrar's submission that
            // failed leaves the ledger in any state.
            let due = match ending {
                Ending::Confirmed => Some(State::Confirmed),
                Ending::Rejected => Some(State::Rejected),
                Ending::Held | Ending::Parked | Ending::Withdrawn | Ending::Open => None,
            };
            if due.is_some_and(|due| state != Some(due)) {
                self.wrong(id, &format!("{ending:?}, and the ledger says {state:?}"));
            }
        } else if expected.ending == confirmed {
            self.totals.lost += 1;
            self.bad(id, format!("should be registered and is {ending:?}; the ledger says {told:?}"));
        } else {
            self.wrong(id, &format!("should be {expected:?} and is {ending:?}; the ledger says {state:?}"));
        }
        let there = record.identifiers.get("NATIONAL_ID");
        if ending == confirmed && record.kind == Kind::Birth && there != expected.id.as_ref() {
            self.wrong(id, "registered with an ID that is not the one that was issued");
        }
    }

    /// Notes why a record is not as expected.
    pub fn bad(&mut self, id: &str, why: String) {
        self.totals.bad.insert(id.to_owned(), why);
    }

    /// Counts a record that is not as expected.
    pub fn wrong(&mut self, id: &str, why: &str) {
        self.unexplained += 1;
        self.bad(id, why.to_owned());
    }

    /// Whether every record ended as promised.
    pub fn hold_up(&self) -> bool {
        let totals = &self.totals;
        totals.promises_are_kept()
            && self.unexplained == 0
            && totals.confirmed == totals.confirmed_expected
            && !(self.all_are_heard && self.unheard > 0)
    }
}

/// How a record should end. In the FHIR generation, core rejects a record unless a 2xx arrives. In
/// the events generation, core goes on waiting.
fn expected(id: &str, record: &Record, evidence: &Evidence<'_>) -> Expected {
    let came_back = match &record.event {
        Some(_) => events::came_back(record),
        None => !record.attempts.last().is_some_and(|last| !last.lost && last.is_accepted()),
    };
    if came_back {
        return Expected::without_id(Ending::Withdrawn);
    }
    let asked = evidence.rig.people.get(id).and_then(Asked::of);
    let Some((asked, request)) = asked.zip(request_id(id, record.kind)) else {
        // A marriage, or the death of a person without an ID.
        return Expected::confirmed(None);
    };
    let of = |answer: Final| match answer {
        Final::Rejected(_) if record.event.is_some() => Expected::without_id(Ending::Rejected),
        Final::Rejected(_) => Expected::without_id(Ending::Held),
        Final::Issued(issued) => Expected::confirmed(Some(issued)),
        Final::Recorded => Expected::confirmed(None),
    };
    let submissions = 1..=u64::try_from(record.attempts.len()).unwrap_or(u64::MAX);
    let contradiction =
        submissions.filter_map(|one| evidence.vendor.decision(&request, one, asked).contradiction).next();
    let answer = of(evidence.vendor.decision(&request, 1, asked).answer);
    // If the ID system contradicts itself, the answer that is processed first wins, and two workers
    // may process the two answers in either order. So the one that fits the record is expected.
    let registered = matches!(record.status(), Status::Registered | Status::Certified);
    let fits = (answer.ending == Ending::Confirmed) == registered;
    contradiction.filter(|_| !fits).map_or(answer, of)
}

/// Whether an answer to an older attempt was written over a newer attempt, other than by a late
/// mutation.
fn overtaken(id: &str, record: &Record, records: &Records) -> bool {
    let late = |fault: Option<Fault>| matches!(fault.map(|fault| fault.effect), Some(Effect::Late(_)));
    // Two submissions within one second carry the same token, so the tokens are compared and not
    // the attempts.
    let token = |attempt: usize| record.attempts.get(attempt).map(|attempt| &attempt.token);
    let other = |one: &Confirmed| {
        records.attempt_of(id, &one.token).is_some_and(|meant| token(meant) != token(one.attempt))
    };
    record.confirms.iter().any(|one| !late(one.fault) && other(one))
}
