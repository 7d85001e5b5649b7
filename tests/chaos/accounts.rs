//! The accounts of a run. For each record they compare how it should have ended, according to what
//! its caller was answered and what the ID system decided, with how it ended in OpenCRVS.
//!
//! Invariant: the ledger is asked only whether an operator was told about a record that must wait
//! for one. A record that did not end as expected is counted in `unexplained` or `lost`, never in a
//! count of records that ended well.

use std::collections::{BTreeMap, HashMap};

use nidbridge::domain::State;
use nidbridge::ledger::AttemptSummary;
use nidbridge::sandbox::accounts::{Totals, request_id};
use nidbridge::sandbox::nid::{Asked, Final, NidState, VendorSettings};
use nidbridge::sandbox::opencrvs::{Confirmed, Effect, Fault, Record, Records, Status};
use nidbridge::sandbox::population::{Declaration, Kind};
use serde::Serialize;

use super::events;
use super::outage::Outages;

/// How a record should end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Registered; with this ID, if one was issued.
    Confirmed(Option<String>),
    /// Waiting, and an operator was told that the ID system rejected it.
    Held,
    /// Back with the registrar: the ID system rejected it, and the rejection was written to
    /// OpenCRVS, which is possible in the events generation only.
    Rejected,
    /// Either of the two: the ID system contradicts itself, and the answer that is processed first
    /// wins. Two workers may process the two answers in either order.
    Either(Box<Expected>, Box<Expected>),
    /// Back with the registrar, who did not submit it again: its last submission failed, as far as
    /// core knows.
    Returned,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Accounts {
    #[serde(flatten)]
    pub totals: Totals,
    /// Records that are registered.
    pub confirmed: u64,
    /// Records that should be registered.
    pub confirmed_expected: u64,
    /// Records that the ID system rejected and whose rejection was written to OpenCRVS, which is
    /// possible in the events generation only.
    pub rejected: u64,
    /// Records that the ID system rejected and that wait for an operator, as they must. An operator
    /// was told.
    pub held: u64,
    /// Records that wait for an operator because of a scheduled fault. None should remain, because
    /// the run then does what an operator would do: it gives every registration a fresh token after
    /// a change of auth's key, and it asks the ID system again after an ID that belongs to another
    /// person.
    pub parked: u64,
    /// Records whose last submission failed, as far as core knows, and that were not submitted
    /// again.
    pub withdrawn: u64,
    /// Records that should be registered but are not.
    pub lost: u64,
    /// Records that were confirmed although they were registered already, or twice for one
    /// submission.
    pub confirmed_twice: u64,
    /// Everything else that is not as expected.
    pub unexplained: u64,
    /// Records of the events generation that stay requested for ever: their trigger failed, and the
    /// bridge does not have them.
    pub stranded: u64,
    /// Damage that core would have done to records of the events generation.
    pub broken: u64,
    /// Records of the events generation that the index shows as requested until somebody opens
    /// them. Our 202 came too late, because a front was stopped after it had stored the
    /// registration and before it had answered.
    pub late_index: u64,
    /// Records of the events generation that stay requested for ever because nginx was down when
    /// their trigger came, or was killed while it handled the trigger. Core leaves them so, and
    /// nothing behind nginx received the trigger.
    pub unheard: u64,
    /// Registrations that core overwrote because of a failed submission: the 2xx came too late, or
    /// not at all.
    pub overwritten: u64,
    /// The ids of the records in `unheard`.
    #[serde(skip)]
    pub unheard_of: Vec<String>,
    /// The reason for each record that did not end as expected.
    #[serde(skip)]
    pub bad: BTreeMap<String, String>,
}

/// The sources of the accounts.
pub struct Evidence<'a> {
    pub records: &'a Records,
    pub nid: &'a NidState,
    pub summaries: &'a HashMap<String, AttemptSummary>,
    /// The declaration of each record.
    pub people: &'a HashMap<String, Declaration>,
    /// The settings by which the ID system decides.
    pub vendor: &'a VendorSettings,
    /// The record of the person who was registered before the run, and whose ID the ID system also
    /// gives to others.
    pub somebody: &'a str,
    /// The times at which the fronts could not be reached.
    pub outages: &'a Outages,
}

impl Accounts {
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let totals = Totals::of(evidence.records, evidence.nid, Some(evidence.somebody));
        let mut accounts = Self { bad: totals.shared.iter().cloned().collect(), totals, ..Self::default() };
        for (id, record) in evidence.records.all().filter(|(id, _)| *id != evidence.somebody) {
            accounts.overwritten += u64::from(record.overwritten);
            accounts.judge(id, record, evidence);
        }
        accounts.unexplained += evidence.nid.malformed + evidence.nid.changed_repeats;
        for (what, count) in [
            ("malformed requests", evidence.nid.malformed),
            ("changed repeats", evidence.nid.changed_repeats),
        ] {
            if count > 0 {
                accounts.bad.insert(what.to_owned(), format!("{count} of them at the ID system"));
            }
        }
        accounts
    }

    fn judge(&mut self, id: &str, record: &Record, evidence: &Evidence<'_>) {
        let twice = record.confirms.iter().any(|one| one.status_before == Status::Registered);
        if twice || record.confirms.len() > record.attempts.len() {
            self.confirmed_twice += 1;
            self.bad.insert(id.to_owned(), format!("confirmed {} times", record.confirms.len()));
        }
        if overtaken(id, record, evidence.records) {
            self.wrong(id, "an older answer over a newer attempt");
        }
        if let Some(file) = &record.event {
            events::judge(self, id, record, file);
        }
        let expected = expected(id, record, evidence).settle(record.status());
        let told = evidence.summaries.get(id);
        let state = told.map(|told| told.state);
        self.parked += u64::from(state == Some(State::Parked));
        let unheard = events::stranded(record) && told.is_none() && evidence.outages.broke_off(record);
        if unheard {
            self.unheard += 1;
            self.unheard_of.push(id.to_owned());
            return;
        }
        self.confirmed_expected += u64::from(matches!(expected, Expected::Confirmed(_)));
        match (&expected, record.status()) {
            (Expected::Confirmed(issued), Status::Registered | Status::Certified) => {
                self.confirmed += 1;
                if state != Some(State::Confirmed) {
                    self.wrong(id, &format!("registered, and the ledger says {state:?}"));
                }
                let there = record.identifiers.get("NATIONAL_ID");
                if record.kind == Kind::Birth && there != issued.as_ref() {
                    self.wrong(id, "registered with an ID that is not the one that was issued");
                }
            }
            (Expected::Held, Status::WaitingValidation) => match state {
                Some(State::Held) => self.held += 1,
                other => self.wrong(id, &format!("rejected by the ID system, and the ledger says {other:?}")),
            },
            (Expected::Rejected, Status::Rejected) => match state {
                Some(State::Rejected) => self.rejected += 1,
                other => self.wrong(id, &format!("rejected by the ID system, and the ledger says {other:?}")),
            },
            (Expected::Returned, Status::Rejected) => self.withdrawn += 1,
            _ if events::stranded(record) => {
                self.stranded += 1;
                self.bad.insert(id.to_owned(), format!("requested for ever; the ledger says {told:?}"));
            }
            (Expected::Confirmed(_), _) => {
                self.lost += 1;
                self.bad.insert(
                    id.to_owned(),
                    format!("should be registered and is {:?}; the ledger says {told:?}", record.status()),
                );
            }
            (Expected::Held | Expected::Rejected | Expected::Returned | Expected::Either(..), _) => {
                self.wrong(id, &format!("should be {expected:?} and is {:?}", record.status()));
            }
        }
    }

    /// Counts a record that is not as expected.
    pub fn wrong(&mut self, id: &str, why: &str) {
        self.unexplained += 1;
        self.bad.insert(id.to_owned(), why.to_owned());
    }

    /// Whether every record ended as promised.
    pub fn hold_up(&self) -> bool {
        self.faultless() && self.confirmed == self.confirmed_expected
    }

    fn faultless(&self) -> bool {
        let bad = [self.confirmed_twice, self.lost, self.stranded, self.broken, self.unexplained];
        self.totals.nothing_is_doubled() && bad.iter().all(|count| *count == 0)
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
        return Expected::Returned;
    }
    let asked = evidence.people.get(id).and_then(Asked::of);
    let Some((asked, request)) = asked.zip(request_id(id, record)) else {
        // A marriage, or the death of a person without an ID.
        return Expected::Confirmed(None);
    };
    let of = |answer: Final| match answer {
        Final::Rejected(_) if record.event.is_some() => Expected::Rejected,
        Final::Rejected(_) => Expected::Held,
        Final::Issued(issued) => Expected::Confirmed(Some(issued)),
        Final::Recorded => Expected::Confirmed(None),
    };
    let submissions = 1..=u64::try_from(record.attempts.len()).unwrap_or(u64::MAX);
    let contradiction =
        submissions.filter_map(|one| evidence.vendor.decision(&request, one, asked).contradiction).next();
    let answer = of(evidence.vendor.decision(&request, 1, asked).answer);
    match contradiction {
        Some(other) => Expected::Either(Box::new(answer), Box::new(of(other))),
        None => answer,
    }
}

impl Expected {
    /// The expectation that applies to a record in this state: one of the two for [`Self::Either`].
    fn settle(self, status: Status) -> Self {
        match self {
            Self::Either(one, other) => {
                let registered = matches!(status, Status::Registered | Status::Certified);
                if matches!(*one, Self::Confirmed(_)) == registered { *one } else { *other }
            }
            Self::Confirmed(_) | Self::Held | Self::Rejected | Self::Returned => self,
        }
    }
}

/// Whether an answer to an older attempt was written over a newer attempt, other than by a late
/// mutation.
fn overtaken(id: &str, record: &Record, records: &Records) -> bool {
    let late = |fault: Option<Fault>| matches!(fault.map(Fault::effect), Some(Effect::Late(_)));
    // Two submissions within one second carry the same token, so the tokens are compared and not
    // the attempts.
    let token = |attempt: usize| record.attempts.get(attempt).map(|attempt| &attempt.token);
    let other = |one: &Confirmed| {
        records.attempt_of(id, &one.token).is_some_and(|meant| token(meant) != token(one.attempt))
    };
    record.confirms.iter().any(|one| !late(one.fault) && other(one))
}
