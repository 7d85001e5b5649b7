//! The counts: submissions, how records ended, and what was given out twice.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::sandbox::nid::NidState;
use crate::sandbox::opencrvs::{Record, Records};

use super::Ending;

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Records that were submitted.
    pub registrations: u64,
    /// Submissions, first and repeated ones.
    pub submitted: u64,
    /// Submissions that were answered 202, whether or not the answer arrived.
    pub accepted: u64,
    /// Submissions after a record's first.
    pub resubmitted: u64,
    /// Accepted submissions that a newer one of the same record replaced.
    pub superseded: u64,
    /// Registration numbers that occur more than once, on two records or on the same one.
    pub numbers_doubled: u64,
    /// IDs that two records have, requests for which two IDs were issued, and persons whom the ID
    /// system counts as two.
    pub ids_doubled: u64,
    /// Records that OpenCRVS has registered.
    pub confirmed: u64,
    /// Records that should be registered: accepted, not rejected by the ID system, and not taken
    /// back.
    pub confirmed_expected: u64,
    /// Records that the ID system rejected and whose rejection was written to OpenCRVS, which is
    /// possible in the events generation only.
    pub rejected: u64,
    /// Records that the ID system rejected and that now wait for an operator, who was told.
    pub held: u64,
    /// Records that OpenCRVS took back itself, because their last submission failed as far as it
    /// knows, and that were not submitted again.
    pub withdrawn: u64,
    /// Records that stopped with a cause about which an operator was told.
    pub parked: u64,
    /// Records that did not end as they should, without a known reason.
    pub lost: u64,
    /// Records that were confirmed more than once.
    pub confirmed_twice: u64,
    /// Records of the events generation that stay requested for ever: their trigger failed, and the
    /// bridge does not have them.
    pub stranded: u64,
    /// Damage that a real core of the events generation would have done to records: an unknown
    /// field, a stale index, a dropped or a contradictory answer.
    pub broken: u64,
    /// Records with a request, a number, an ID or a field that is not that of their person.
    pub wrong_contents: u64,
    /// The reason for each record that did not end as it should.
    #[serde(skip)]
    pub bad: BTreeMap<String, String>,
}

impl Totals {
    /// Counts the submissions of all records, and what was given out twice. How the records ended
    /// is for the caller to count. The submissions of the record `prepared`, which existed before
    /// the run, are not counted.
    pub fn of(records: &Records, nid: &NidState, prepared: Option<&str>) -> Self {
        let mut totals = Self { ids_doubled: nid.ids_doubled + nid.persons_doubled, ..Self::default() };
        let (mut numbers, mut ids) = (HashMap::new(), HashMap::new());
        for (id, record) in records.all() {
            if prepared != Some(id) {
                totals.add(record);
            }
            for number in &record.numbers {
                if let Some(other) = numbers.insert(number.as_str(), id) {
                    totals.numbers_doubled += 1;
                    totals.bad.insert(id.to_owned(), format!("its number is also that of {other}"));
                }
            }
            let issued = record.identifiers.get("NATIONAL_ID");
            if let Some(other) = issued.and_then(|issued| ids.insert(issued.as_str(), id)) {
                totals.ids_doubled += 1;
                totals.bad.insert(id.to_owned(), format!("its ID is also that of {other}"));
            }
        }
        totals
    }

    fn add(&mut self, record: &Record) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let accepted = count(record.attempts.iter().filter(|attempt| attempt.is_accepted()).count());
        let submitted = count(record.attempts.len());
        self.registrations += 1;
        self.submitted += submitted;
        self.accepted += accepted;
        self.resubmitted += submitted.saturating_sub(1);
        self.superseded += accepted.saturating_sub(1);
    }

    /// Counts a record by how it ended. A record without an end is not counted.
    pub fn count(&mut self, ending: Ending) {
        let count = match ending {
            Ending::Confirmed => &mut self.confirmed,
            Ending::Rejected => &mut self.rejected,
            Ending::Held => &mut self.held,
            Ending::Parked => &mut self.parked,
            Ending::Withdrawn => &mut self.withdrawn,
            Ending::Open => return,
        };
        *count += 1;
    }

    /// Counts a record that has something that is not of its person.
    pub fn check_contents(&mut self, id: &str, faults: &[String]) {
        self.wrong_contents += u64::from(!faults.is_empty());
        if !faults.is_empty() {
            self.bad.insert(id.to_owned(), faults.join("; "));
        }
    }

    /// Whether no promise of the bridge is broken. The caller checks whether the counts add up.
    pub fn promises_are_kept(&self) -> bool {
        [
            self.lost,
            self.confirmed_twice,
            self.numbers_doubled,
            self.ids_doubled,
            self.stranded,
            self.broken,
            self.wrong_contents,
        ] == [0; 7]
    }
}
