//! Reads and writes spool files without a disk; see [`crate::inlets`].

use std::collections::BTreeMap;

use super::envelope::{decode, encode};
use super::name::{FileKind, FileName};
use crate::domain::{AttemptId, AttemptKey};
use crate::pipeline::RegistrationMessage;

/// The message and the trace headers in a file; `None` if the file is not valid.
pub fn read(file: &[u8]) -> Option<(RegistrationMessage, BTreeMap<String, String>)> {
    decode(file).ok().map(|envelope| (envelope.message, envelope.trace))
}

pub fn write(message: &RegistrationMessage, trace: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    encode(message, trace).ok()
}

pub fn name(key: &AttemptKey) -> String {
    FileName::of(key).as_str().to_owned()
}

/// The attempt in a file name; `None` if it is not the name of a spooled registration.
pub fn attempt(file: &str) -> Option<AttemptId> {
    match FileKind::of(file) {
        FileKind::Spooled(name) => name.attempt(),
        FileKind::Temporary | FileKind::Corrupt | FileKind::Foreign => None,
    }
}
