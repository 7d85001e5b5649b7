//! The accounts of a run: what became of every submission that was answered 202.
//!
//! Invariant: every accepted submission is in exactly one of confirmed, rejected, held, superseded,
//! withdrawn, parked and open. `open` becomes `lost` when nothing changes any more.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::sandbox::accounts::{Ending, Told, Totals, content_faults, request_id};
use crate::sandbox::nid::NidState;
use crate::sandbox::opencrvs::{Attempt, EventsTally, Record, Records, Status, Tally};
use crate::sandbox::population::{Kind, Mix, Population};

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Accounts {
    #[serde(flatten)]
    pub totals: Totals,
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
    /// operator was told. The seed is that of the population.
    pub(super) fn of(
        records: &Records,
        nid: &NidState,
        parked: &BTreeSet<String>,
        (seed, elapsed): (u64, Duration),
    ) -> Self {
        let (tally, events) = (Tally::of(records), EventsTally::of(records));
        let damage =
            [events.poisoned, events.stale_index, events.dropped, events.contradicted, events.crossed];
        let mut accounts = Self {
            totals: Totals {
                confirmed_twice: tally.confirmed_twice,
                stranded: events.stranded,
                broken: damage.iter().sum(),
                ..Totals::of(records, nid, None)
            },
            duplicate_replies: nid.misbehaved.get("duplicate").copied().unwrap_or_default(),
            seconds: elapsed.as_secs_f64(),
            p50_ms: tally.p50_ms,
            p99_ms: tally.p99_ms,
            ..Self::default()
        };
        let rejected: BTreeSet<&str> = nid.rejected().collect();
        for (id, record) in records.all() {
            let rejected =
                request_id(id, record.kind).is_some_and(|request| rejected.contains(request.as_str()));
            // The events generation accepts rejections, so such a record is not finished.
            let open = rejected && record.event.is_some();
            let told = Told { held: rejected && !open, parked: !open && parked.contains(id) };
            accounts.add(record, rejected, Ending::of(record, told));
        }
        for family in Population::new(seed, Mix::default()).take(records.all().count()) {
            let Some(record) = records.record(&family.record) else { continue };
            accounts.totals.check_contents(&family.record, &content_faults(&family, record, nid));
        }
        accounts
    }

    fn add(&mut self, record: &Record, rejected: bool, ending: Ending) {
        self.marriages += u64::from(record.kind == Kind::Marriage);
        self.rejected_by_id_system += u64::from(rejected);
        if !record.attempts.iter().any(Attempt::is_accepted) {
            return;
        }
        self.totals.count(ending);
        self.open += u64::from(ending == Ending::Open);
        let taken_back = matches!(record.status(), Status::Rejected | Status::Archived);
        self.totals.confirmed_expected += u64::from(!rejected && !taken_back);
    }

    /// The final accounts: what is still open counts as lost.
    pub(super) fn closed(mut self) -> Self {
        self.totals.lost += std::mem::take(&mut self.open);
        self
    }

    /// Whether nothing changed between the two accounts, apart from the time.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        let still = |accounts: &Self| Self { seconds: 0.0, ..accounts.clone() };
        still(self) == still(other)
    }

    /// Whether every accepted submission ended as promised.
    pub(super) fn hold_up(&self) -> bool {
        let all = &self.totals;
        let ended = all.confirmed + all.rejected + all.held + all.superseded + all.withdrawn + all.parked;
        // A stranded record of a run that was stopped early may still reach the bridge.
        let stranded = if self.open > 0 { 0 } else { all.stranded };
        Totals { stranded, ..all.clone() }.promises_are_kept()
            && all.confirmed + self.open == all.confirmed_expected
            && ended + self.open == all.accepted
    }

    pub(super) fn line(&self, second: u64) -> String {
        let Totals { accepted, confirmed, held, rejected, superseded, .. } = self.totals;
        format!(
            "{second:>4} s  {accepted:>5} accepted  {confirmed:>5} confirmed  {:>4} held or rejected (ID system said no)  \
             {superseded:>4} submitted again  {:>4} under way",
            held + rejected,
            self.open
        )
    }

    pub(super) fn summary(&self) -> String {
        let all = &self.totals;
        let verdict = match (self.hold_up(), self.open) {
            (false, _) => "THE BRIDGE BROKE ITS PROMISE, OR THESE NUMBERS DO NOT ADD UP.",
            (true, 0) => "Every accepted registration is accounted for.",
            (true, _) => "Stopped early: this run says nothing about what was still under way.",
        };
        let submitted = format!(
            "submissions of {} registrations, {} of them submitted again",
            all.registrations, all.resubmitted
        );
        let confirmed = format!(
            "confirmed of {} that should be; half within {} ms, 99 % within {} ms",
            all.confirmed_expected, self.p50_ms, self.p99_ms
        );
        let stranded = format!("stranded, {} broken in OpenCRVS (events generation)", all.broken);
        let lines = [
            (all.submitted, submitted.as_str()),
            (all.accepted, "accepted (202)"),
            (all.confirmed, &confirmed),
            (all.held, "held: the ID system said no, an operator was told"),
            (all.rejected, "rejected: the ID system said no, OpenCRVS was told (events generation)"),
            (all.superseded, "superseded by a newer submission of the same record"),
            (all.withdrawn, "taken back by OpenCRVS itself"),
            (all.parked, "parked, an operator was told why"),
            (self.open, "still under way"),
            (all.lost, "lost"),
            (all.confirmed_twice, "confirmed twice"),
            (all.wrong_contents, "with a request, number, ID or field of somebody else"),
            (all.stranded, &stranded),
        ];
        let lines: String = lines.map(|(count, what)| format!("\n  {count:>6}  {what}")).concat();
        format!("What OpenCRVS and the ID system saw in {:.0} s:\n{lines}\n\n{verdict}", self.seconds)
    }
}
