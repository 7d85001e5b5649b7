//! What is in the spool, by name, and how much room is left: pure, the directory itself is elsewhere.
//!
//! Invariant: the bytes of all files and of those being written never exceed the bound, except by what was there when
//! the spool was opened.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::name::Name;

#[derive(Debug, Clone, Copy)]
struct File {
    bytes: u64,
    due: Instant,
}

#[derive(Debug)]
pub(super) struct Index {
    files: BTreeMap<Name, File>,
    bytes: u64,
    /// Of files that are being written.
    reserved: u64,
    max: u64,
}

impl Index {
    pub(super) fn new(max: u64, found: Vec<(Name, u64)>, now: Instant) -> Self {
        let bytes = found.iter().map(|(_, bytes)| bytes).sum();
        let files = found.into_iter().map(|(name, bytes)| (name, File { bytes, due: now })).collect();
        Self { files, bytes, reserved: 0, max }
    }

    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// Whether the file is there; if so, it is not relayed before `due`.
    pub(super) fn renew(&mut self, name: &Name, due: Instant) -> bool {
        match self.files.get_mut(name) {
            Some(file) => {
                file.due = due;
                true
            }
            None => false,
        }
    }

    /// Room for a file that will be committed or released; says whether there is any.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        let after = self.bytes.saturating_add(self.reserved).saturating_add(bytes);
        let room = after <= self.max;
        if room {
            self.reserved += bytes;
        }
        room
    }

    pub(super) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    pub(super) fn commit(&mut self, name: Name, bytes: u64, due: Instant) {
        self.release(bytes);
        self.remove(&name);
        self.bytes += bytes;
        self.files.insert(name, File { bytes, due });
    }

    pub(super) fn remove(&mut self, name: &Name) {
        if let Some(file) = self.files.remove(name) {
            self.bytes = self.bytes.saturating_sub(file.bytes);
        }
    }

    /// The file that is relayed next, and when.
    pub(super) fn first(&self) -> Option<(Name, Instant)> {
        self.files.first_key_value().map(|(name, file)| (name.clone(), file.due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AttemptKey, Dialect, RecordId};

    fn name(stamp: &str) -> Name {
        Name::of(&AttemptKey {
            dialect: Dialect::Fhir,
            record: RecordId::parse("one").unwrap(),
            mark: stamp.to_owned(),
            stamp: stamp.parse().unwrap(),
        })
    }

    #[test]
    fn it_never_takes_more_than_its_bound_however_many_write_at_once() {
        let now = Instant::now();
        let mut index = Index::new(100, Vec::new(), now);
        assert!(index.reserve(60));
        assert!(!index.reserve(41), "the first is not written yet, but it will be");
        assert!(index.reserve(40));
        index.release(40);
        index.commit(name("2026-01-01T00:00:00Z"), 60, now);
        assert_eq!((index.files(), index.bytes()), (1, 60));
        assert!(!index.reserve(41));
        index.remove(&name("2026-01-01T00:00:00Z"));
        assert!(index.reserve(100));
        assert!(!index.reserve(u64::MAX));
    }

    #[test]
    fn two_writers_of_one_attempt_make_one_file() {
        let now = Instant::now();
        let mut index = Index::new(100, Vec::new(), now);
        for bytes in [30, 40] {
            assert!(index.reserve(bytes));
        }
        for bytes in [30, 40] {
            index.commit(name("2026-01-01T00:00:00Z"), bytes, now);
        }
        assert_eq!((index.files(), index.bytes(), index.reserved), (1, 40, 0));
    }

    #[test]
    fn the_oldest_is_first_and_what_was_found_counts() {
        let now = Instant::now();
        let found = vec![(name("2026-01-03T00:00:00Z"), 70), (name("2026-01-02T00:00:00Z"), 50)];
        let mut index = Index::new(100, found, now);
        assert!(!index.reserve(1), "more was found than fits now");
        assert_eq!(index.first(), Some((name("2026-01-02T00:00:00Z"), now)));
        let later = now + std::time::Duration::from_secs(1);
        assert!(index.renew(&name("2026-01-02T00:00:00Z"), later));
        assert!(!index.renew(&name("2026-01-01T00:00:00Z"), later));
        assert_eq!(index.first(), Some((name("2026-01-02T00:00:00Z"), later)));
    }
}
