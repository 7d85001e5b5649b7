//! The names of spool files. A name gives the order of a file, and the attempt in it.
//!
//! Invariant: a name depends on the attempt alone, so one attempt has one file, however often it is
//! submitted. The order of names is the order in which the registrars submitted.

use crate::domain::{AttemptId, AttemptKey};

const SPOOLED: &str = ".registration";
const TEMPORARY: &str = ".tmp";
const CORRUPT: &str = ".corrupt";
/// Length of a hyphenated UUID.
const ID_LENGTH: usize = 36;
/// Length of the longest time stamp: that of a negative year.
const STAMP_LENGTH: usize = 24;

/// The name of a spooled registration: `20261023T101112.345678Z-<attempt id>.registration`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileName(String);

impl FileName {
    pub(super) fn of(key: &AttemptKey) -> Self {
        let stamp = key.stamp.strftime("%Y%m%dT%H%M%S.%6fZ");
        Self(format!("{stamp}-{}{SPOOLED}", key.id()))
    }

    fn parse(text: &str) -> Option<Self> {
        let name = Self(text.to_owned());
        name.attempt().map(|_| name)
    }

    /// The attempt that the file must hold; `None` if this is not the name of a spooled
    /// registration.
    pub(super) fn attempt(&self) -> Option<AttemptId> {
        let (stamp, id) = self.0.strip_suffix(SPOOLED)?.split_at_checked(self.split())?;
        let digits = stamp.strip_suffix('-')?;
        let plain = |c: char| c.is_ascii_digit() || matches!(c, 'T' | 'Z' | '.' | '-');
        if digits.is_empty() || digits.len() > STAMP_LENGTH || !digits.chars().all(plain) {
            return None;
        }
        AttemptId::parse(id).ok().filter(|attempt| attempt.to_string() == id)
    }

    fn split(&self) -> usize {
        self.0.len().saturating_sub(SPOOLED.len() + ID_LENGTH)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name while the file is being written; `number` tells two writers of one attempt apart.
    pub(super) fn temporary(&self, number: u64) -> String {
        format!("{}.{number}{TEMPORARY}", self.0)
    }

    /// The name of a file that was set aside because it cannot be relayed.
    pub(super) fn corrupt(&self) -> String {
        format!("{}{CORRUPT}", self.0)
    }
}

/// The kind of a file in the directory, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A registration.
    Spooled(FileName),
    /// A file that was being written when the process ended; its registration was not accepted.
    Temporary,
    /// A file that was set aside because it cannot be relayed.
    Corrupt,
    /// Not ours: left alone.
    Foreign,
}

impl FileKind {
    pub(super) fn of(file: &str) -> Self {
        if let Some(name) = FileName::parse(file) {
            return Self::Spooled(name);
        }
        if file.strip_suffix(CORRUPT).and_then(FileName::parse).is_some() {
            return Self::Corrupt;
        }
        let temporary = file.strip_suffix(TEMPORARY).and_then(|rest| rest.rsplit_once('.'));
        match temporary {
            Some((name, number)) if number.parse::<u64>().is_ok() && FileName::parse(name).is_some() => {
                Self::Temporary
            }
            Some(_) | None => Self::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Dialect, RecordId};

    fn key(record: &str, stamp: &str) -> AttemptKey {
        AttemptKey {
            dialect: Dialect::Fhir,
            record: RecordId::parse(record).unwrap(),
            mark: stamp.to_owned(),
            stamp: stamp.parse().unwrap(),
        }
    }

    #[test]
    fn one_attempt_has_one_name_and_is_read_back_from_it() {
        let key = key("one", "2026-10-23T10:11:12.3Z");
        let name = FileName::of(&key);
        assert_eq!(name, FileName::of(&key));
        assert!(name.as_str().starts_with("20261023T101112.300000Z-"), "{name:?}");
        assert_eq!(name.attempt(), Some(key.id()));
        assert_eq!(FileKind::of(name.as_str()), FileKind::Spooled(name.clone()));
    }

    #[test]
    fn names_are_in_the_order_of_submission() {
        let stamps = [
            "1999-12-31T23:59:59.999999Z",
            "2026-01-02T00:00:00Z",
            "2026-01-02T00:00:00.000001Z",
            "2026-01-02T00:00:00.1Z",
            "2026-01-02T00:00:01Z",
            "2026-10-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
        ];
        let names: Vec<FileName> = stamps.iter().map(|stamp| FileName::of(&key("one", stamp))).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }

    #[test]
    fn only_files_of_the_spool_are_taken_for_one() {
        let name = FileName::of(&key("one", "2026-01-02T00:00:00Z"));
        let (text, id) = (name.as_str(), name.attempt().unwrap());
        assert_eq!(FileKind::of(&name.temporary(7)), FileKind::Temporary);
        assert_eq!(FileKind::of(&name.corrupt()), FileKind::Corrupt);
        for foreign in [
            "lock".to_owned(),
            String::new(),
            ".registration".to_owned(),
            "x.tmp".to_owned(),
            format!("{text}.tmp"),
            format!("{text}.x.tmp"),
            format!("{text}.bak"),
            format!("notes-{id}.registration"),
            format!("-{id}.registration"),
            format!("{}Z-{id}.registration", "2".repeat(40)),
            format!("20260102T000000.000000Z-{}.registration", id.to_string().to_uppercase()),
            "ü".repeat(40) + ".registration",
        ] {
            assert_eq!(FileKind::of(&foreign), FileKind::Foreign, "{foreign}");
        }
    }
}
