//! The counts that the demo and the chaos test share: submissions, and registration numbers and IDs
//! that were given out twice.
//!
//! Invariant: the counts come from what the simulated OpenCRVS and ID system saw. The bridge is not
//! asked.

use std::collections::HashMap;

use serde::Serialize;

use super::nid::NidState;
use super::opencrvs::{Record, Records};
use crate::domain::{EventKind, RecordId, RequestId};

/// The counts, and the records behind each duplicate.
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
    /// The records that share a number or an ID with another record, and what they share.
    #[serde(skip)]
    pub shared: Vec<(String, String)>,
}

impl Totals {
    /// Counts all records. The submissions of the record `prepared`, which existed before the run,
    /// are not counted.
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
                    totals.shared.push((id.to_owned(), format!("its number is also that of {other}")));
                }
            }
            let issued = record.identifiers.get("NATIONAL_ID");
            if let Some(other) = issued.and_then(|issued| ids.insert(issued.as_str(), id)) {
                totals.ids_doubled += 1;
                totals.shared.push((id.to_owned(), format!("its ID is also that of {other}")));
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

    pub fn nothing_is_doubled(&self) -> bool {
        self.numbers_doubled == 0 && self.ids_doubled == 0
    }
}

/// The id under which the ID system knows a record.
pub fn request_id(id: &str, record: &Record) -> Option<String> {
    let id = RecordId::parse(id).ok()?;
    Some(RequestId::of(&id, &EventKind::from_name(record.kind.name())).to_string())
}
