//! The accounts of a run: what became of every submission that was answered 202.
//!
//! Invariant: every accepted submission is in exactly one of confirmed, rejected, held, superseded,
//! withdrawn, parked and open. `open` becomes `lost` when nothing changes any more.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::sandbox::accounts::{Totals, request_id};
use crate::sandbox::nid::{Final, NidState};
use crate::sandbox::opencrvs::{Attempt, EventsTally, Record, Records, Status, Tally};

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Accounts {
    #[serde(flatten)]
    pub totals: Totals,
    /// Records that OpenCRVS has registered.
    pub confirmed: u64,
    /// Records that should be registered: accepted, not rejected by the ID system, and not taken
    /// back.
    pub confirmed_expected: u64,
    /// Records whose rejection was written to OpenCRVS (possible in the events generation only).
    pub rejected: u64,
    /// Records that the ID system rejected and that now wait for an operator.
    pub held: u64,
    /// Submissions that OpenCRVS took back itself and that were not submitted again.
    pub withdrawn: u64,
    /// Records that stopped with a cause about which an operator was told.
    pub parked: u64,
    /// Submissions that did not end and that nobody can explain.
    pub lost: u64,
    /// Records that were confirmed more than once.
    pub confirmed_twice: u64,
    /// Damage that a real core of the events generation would have done to records: an unknown
    /// field, a stale index, a dropped or a contradictory answer.
    pub broken: u64,
    /// Records of the events generation that stay requested after a failed trigger, and that the
    /// bridge does not have.
    pub stranded: u64,
    /// Marriages among the records.
    pub marriages: u64,
    /// Records whose newest submission the ID system rejected.
    pub rejected_by_id_system: u64,
    /// Final replies that the ID system sent a second time.
    pub duplicate_replies: u64,
    /// Seconds since the first submission.
    pub seconds: f64,
    /// Median time from a record's newest submission to its confirm.
    pub p50_ms: u64,
    /// 99th percentile of the same time.
    pub p99_ms: u64,
    /// Submissions that are still under way.
    #[serde(rename = "under_way")]
    pub open: u64,
}

impl Accounts {
    /// Draws up the accounts. `parked` names the records about which, according to the ledger, an
    /// operator was told.
    pub(super) fn of(
        records: &Records,
        nid: &NidState,
        parked: &BTreeSet<String>,
        elapsed: Duration,
    ) -> Self {
        let (tally, events) = (Tally::of(records), EventsTally::of(records));
        let no = |request: &String| matches!(nid.finals.get(request), Some(Final::Rejected(_)));
        let mut accounts = Self {
            totals: Totals::of(records, nid, None),
            confirmed_twice: tally.confirmed_twice,
            duplicate_replies: nid.misbehaved.get("duplicate").copied().unwrap_or_default(),
            seconds: elapsed.as_secs_f64(),
            p50_ms: tally.p50_ms,
            p99_ms: tally.p99_ms,
            broken: events.poisoned
                + events.stale_index
                + events.dropped
                + events.contradicted
                + events.crossed,
            stranded: events.stranded,
            ..Self::default()
        };
        for (id, record) in records.all() {
            let rejected = request_id(id, record).is_some_and(|request| no(&request));
            accounts.add(record, rejected, parked.contains(id));
        }
        accounts
    }

    fn add(&mut self, record: &Record, rejected: bool, parked: bool) {
        self.marriages += u64::from(record.kind.name() == "marriage");
        self.rejected_by_id_system += u64::from(rejected);
        if !record.attempts.iter().any(Attempt::is_accepted) {
            return;
        }
        let told = record.event.as_ref().is_some_and(|event| event.rejected);
        match record.status() {
            Status::Registered | Status::Certified => self.confirmed += 1,
            Status::Rejected if told => self.rejected += 1,
            // The events generation accepts rejections, so this record is not finished.
            Status::WaitingValidation if rejected && record.event.is_some() => self.open += 1,
            Status::WaitingValidation if rejected => self.held += 1,
            Status::WaitingValidation if parked => self.parked += 1,
            Status::WaitingValidation | Status::Declared => self.open += 1,
            Status::Rejected | Status::Archived => self.withdrawn += 1,
        }
        let taken_back = matches!(record.status(), Status::Rejected | Status::Archived);
        self.confirmed_expected += u64::from(!rejected && !taken_back);
    }

    /// The final accounts: what is still open counts as lost.
    pub(super) fn closed(mut self) -> Self {
        self.lost += self.open;
        self.open = 0;
        self
    }

    /// Whether nothing changed between the two accounts, apart from the time.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        let still = |accounts: &Self| Self { seconds: 0.0, ..accounts.clone() };
        still(self) == still(other)
    }

    /// Whether every accepted submission ended as promised.
    pub(super) fn hold_up(&self) -> bool {
        let ended = self.confirmed
            + self.rejected
            + self.held
            + self.totals.superseded
            + self.withdrawn
            + self.parked;
        self.lost == 0
            && self.confirmed_twice == 0
            && self.totals.nothing_is_doubled()
            && self.broken == 0
            && (self.stranded == 0 || self.open > 0)
            && self.confirmed + self.open == self.confirmed_expected
            && ended + self.open == self.totals.accepted
    }

    pub(super) fn line(&self, second: u64) -> String {
        format!(
            "{second:>4} s  {:>5} accepted  {:>5} confirmed  {:>4} held or rejected (ID system said no)  {:>4} submitted \
             again  {:>4} under way",
            self.totals.accepted,
            self.confirmed,
            self.held + self.rejected,
            self.totals.superseded,
            self.open
        )
    }

    pub(super) fn summary(&self) -> String {
        let verdict = match (self.hold_up(), self.open) {
            (false, _) => "THE BRIDGE BROKE ITS PROMISE, OR THESE NUMBERS DO NOT ADD UP.",
            (true, 0) => "Every accepted registration is accounted for.",
            (true, _) => "Stopped early: this run says nothing about what was still under way.",
        };
        format!(
            "What OpenCRVS and the ID system saw in {:.0} s:\n\
             \n  {:>6}  submissions of {} registrations, {} of them submitted again\
             \n  {:>6}  accepted (202)\
             \n  {:>6}  confirmed of {} that should be; half within {} ms, 99 % within {} ms\
             \n  {:>6}  held: the ID system said no, an operator was told\
             \n  {:>6}  rejected: the ID system said no, OpenCRVS was told (events generation)\
             \n  {:>6}  superseded by a newer submission of the same record\
             \n  {:>6}  taken back by OpenCRVS itself\
             \n  {:>6}  parked, an operator was told why\
             \n  {:>6}  still under way\
             \n  {:>6}  lost\
             \n  {:>6}  confirmed twice\
             \n  {:>6}  stranded, {} broken in OpenCRVS (events generation)\
             \n\n{verdict}",
            self.seconds,
            self.totals.submitted,
            self.totals.registrations,
            self.totals.resubmitted,
            self.totals.accepted,
            self.confirmed,
            self.confirmed_expected,
            self.p50_ms,
            self.p99_ms,
            self.held,
            self.rejected,
            self.totals.superseded,
            self.withdrawn,
            self.parked,
            self.open,
            self.lost,
            self.confirmed_twice,
            self.stranded,
            self.broken,
        )
    }
}
