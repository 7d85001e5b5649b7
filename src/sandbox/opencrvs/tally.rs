//! The figures of a run, taken only from what OpenCRVS saw.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::record::{Record, Status};
use super::records::Records;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Records that were submitted at least once.
    pub records: u64,
    /// Submissions that were posted.
    pub submitted: u64,
    /// Submissions that were answered with a 2xx, whether or not the answer arrived.
    pub accepted: u64,
    /// Submissions that the bridge refused, or that did not reach it.
    pub refused: u64,
    /// Submissions whose 2xx was lost on the way.
    pub answers_lost: u64,
    /// Submissions after a record's first.
    pub resubmitted: u64,
    /// Records that are registered.
    pub confirmed: u64,
    /// Records that were returned to the registrar.
    pub rejected: u64,
    /// Records that still wait for an answer.
    pub waiting: u64,
    /// Records that were confirmed more than once.
    pub confirmed_twice: u64,
    /// Families that were notified more than once.
    pub notified_twice: u64,
    /// Confirms of a record that was not waiting for one.
    pub confirmed_out_of_place: u64,
    /// Records where a failed submission overwrote a registration.
    pub overwritten: u64,
    /// Median time from the newest submission to the confirm.
    pub p50_ms: u64,
    /// 99th percentile of the same time.
    pub p99_ms: u64,
}

/// The calls so far, and the faults that they met.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Number of calls by kind, with or without a fault.
    pub calls: BTreeMap<&'static str, u64>,
    /// Number of faults by kind of call and fault: `confirm.cut_after`.
    pub faults: BTreeMap<String, u64>,
    /// Tokens that auth exchanged for fresh ones.
    pub exchanged: u64,
    /// Tokens that auth refused to exchange.
    pub exchange_refused: u64,
    /// Records that a system client listed. Listing marks them as downloaded.
    pub downloaded: u64,
    /// How often auth's key was replaced.
    pub keys_rotated: u64,
    /// Confirms that took effect although the caller got another answer or none.
    pub confirmed_unseen: u64,
}

impl Tally {
    pub fn of(records: &Records) -> Self {
        let mut sum = Self::default();
        let mut latencies = Vec::new();
        for (_, record) in records.all() {
            sum.add(record);
            latencies.extend(record.latency());
        }
        latencies.sort_unstable();
        sum.p50_ms = percentile(&latencies, 50);
        sum.p99_ms = percentile(&latencies, 99);
        sum
    }

    fn add(&mut self, record: &Record) {
        self.records += 1;
        self.submitted += count(record.attempts.len());
        self.resubmitted += count(record.attempts.len().saturating_sub(1));
        for attempt in &record.attempts {
            match &attempt.result {
                Some(result) if result.is_success() => self.accepted += 1,
                Some(_) => self.refused += 1,
                None => {}
            }
            self.answers_lost += u64::from(attempt.lost);
        }
        match record.status() {
            Status::Registered | Status::Certified => self.confirmed += 1,
            Status::Rejected => self.rejected += 1,
            Status::WaitingValidation => self.waiting += 1,
            Status::Declared | Status::Archived => {}
        }
        self.confirmed_twice += u64::from(record.confirms.len() > 1);
        self.notified_twice += u64::from(record.notified > 1);
        let misplaced =
            record.confirms.iter().filter(|confirm| confirm.status_before != Status::WaitingValidation);
        self.confirmed_out_of_place += count(misplaced.count());
        self.overwritten += u64::from(record.overwritten > 0);
    }
}

impl Record {
    /// Time from the newest submission to its confirm.
    pub fn latency(&self) -> Option<Duration> {
        let newest = self.attempts.last()?;
        Some(newest.confirmed?.saturating_duration_since(newest.posted))
    }
}

pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn percentile(sorted: &[Duration], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0, |took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let hundred: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (50, 99));
        assert_eq!((percentile(&hundred[..1], 50), percentile(&[], 99)), (1, 0));
    }
}
