//! The index of a spool: its files, in order, and the room that is left. It does no I/O;
//! [`Directory`](super::directory::Directory) does the work on the disk.
//!
//! Invariant: all files together, including those being written, never exceed the maximum size,
//! unless the files found when the spool was opened already did.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::name::FileName;

#[derive(Debug, Clone, Copy)]
struct File {
    bytes: u64,
    /// When the file may be relayed.
    due: Instant,
    version: u64,
}

/// One version of a file: the file may have been overwritten since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileVersion {
    pub(super) name: FileName,
    version: u64,
}

#[derive(Debug)]
pub(super) struct Index {
    files: BTreeMap<FileName, File>,
    bytes: u64,
    /// Bytes of files that are being written.
    reserved: u64,
    max: u64,
    /// Version of the file written last.
    version: u64,
}

impl Index {
    pub(super) fn new(max: u64, found: Vec<(FileName, u64)>, now: Instant) -> Self {
        let bytes = found.iter().map(|(_, bytes)| bytes).sum();
        let files =
            found.into_iter().map(|(name, bytes)| (name, File { bytes, due: now, version: 0 })).collect();
        Self { files, bytes, reserved: 0, max, version: 0 }
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

    /// Reserves room for a file, which the caller must commit or release. Returns `false` if there
    /// is not enough room. An earlier file of the same name will be replaced, so its bytes do not
    /// count.
    pub(super) fn reserve(&mut self, name: &FileName, bytes: u64) -> bool {
        let replaced = self.files.get(name).map_or(0, |file| file.bytes);
        let after = self.bytes.saturating_sub(replaced).saturating_add(self.reserved).saturating_add(bytes);
        let room = after <= self.max;
        if room {
            self.reserved += bytes;
        }
        room
    }

    pub(super) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    pub(super) fn commit(&mut self, name: FileName, bytes: u64, due: Instant) {
        self.release(bytes);
        self.remove(&name);
        self.bytes += bytes;
        self.version += 1;
        self.files.insert(name, File { bytes, due, version: self.version });
    }

    /// Whether this is still the version in the spool.
    pub(super) fn is_current(&self, seen: &FileVersion) -> bool {
        self.files.get(&seen.name).is_some_and(|file| file.version == seen.version)
    }

    /// Sets when a file may be relayed.
    pub(super) fn postpone(&mut self, name: &FileName, due: Instant) {
        if let Some(file) = self.files.get_mut(name) {
            file.due = due;
        }
    }

    pub(super) fn remove(&mut self, name: &FileName) {
        if let Some(file) = self.files.remove(name) {
            self.bytes = self.bytes.saturating_sub(file.bytes);
        }
    }

    /// The file to relay next, and the time from which it may be relayed.
    pub(super) fn first(&self) -> Option<(FileVersion, Instant)> {
        let (name, file) = self.files.first_key_value()?;
        Some((FileVersion { name: name.clone(), version: file.version }, file.due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AttemptKey, Dialect, RecordId};

    fn name(stamp: &str) -> FileName {
        FileName::of(&AttemptKey {
            dialect: Dialect::Fhir,
            record: RecordId::parse("one").unwrap(),
            mark: stamp.to_owned(),
            stamp: stamp.parse().unwrap(),
        })
    }

    #[test]
    fn it_never_takes_more_than_its_bound_however_many_write_at_once() {
        let now = Instant::now();
        let (one, two) = (name("2026-01-01T00:00:00Z"), name("2026-01-02T00:00:00Z"));
        let mut index = Index::new(100, Vec::new(), now);
        assert!(index.reserve(&one, 60));
        assert!(!index.reserve(&two, 41), "the first is not written yet, but it will be");
        assert!(index.reserve(&two, 40));
        index.release(40);
        index.commit(one.clone(), 60, now);
        assert_eq!((index.files(), index.bytes()), (1, 60));
        assert!(!index.reserve(&two, 41));
        index.remove(&one);
        assert!(index.reserve(&two, 100));
        assert!(!index.reserve(&one, u64::MAX));
    }

    #[test]
    fn a_repeat_takes_the_place_of_the_first_even_in_a_full_spool() {
        let now = Instant::now();
        let (one, two) = (name("2026-01-01T00:00:00Z"), name("2026-01-02T00:00:00Z"));
        let mut index = Index::new(100, Vec::new(), now);
        assert!(index.reserve(&one, 90));
        index.commit(one.clone(), 90, now);
        let (first, _) = index.first().unwrap();
        assert!(!index.reserve(&two, 95));
        assert!(index.reserve(&one, 95));
        assert!(index.is_current(&first));
        index.commit(one, 95, now);
        assert_eq!((index.files(), index.bytes(), index.reserved), (1, 95, 0));
        assert!(!index.is_current(&first), "what was seen is not what is there now");
    }

    #[test]
    fn the_oldest_is_first_and_what_was_found_counts() {
        let now = Instant::now();
        let (one, two) = (name("2026-01-02T00:00:00Z"), name("2026-01-03T00:00:00Z"));
        let mut index = Index::new(100, vec![(two.clone(), 70), (one.clone(), 50)], now);
        assert!(!index.reserve(&name("2026-01-04T00:00:00Z"), 1), "more was found than fits now");
        let (first, due) = index.first().unwrap();
        assert_eq!((&first.name, due), (&one, now));
        let later = now + std::time::Duration::from_secs(1);
        index.postpone(&one, later);
        assert_eq!(index.first(), Some((first, later)));
        index.remove(&one);
        assert_eq!(index.first().unwrap().0.name, two);
    }
}
