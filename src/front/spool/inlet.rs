//! Files of the spool without a disk.
//!
//! Invariant: as of [`crate::inlets`].

use std::collections::BTreeMap;

use super::envelope::{decode, encode};
use super::name::{Kind, Name, kind};
use crate::domain::{AttemptId, AttemptKey};
use crate::pipeline::RegistrationMessage;

/// What a file holds: a message and its trace.
pub fn read(file: &[u8]) -> Option<(RegistrationMessage, BTreeMap<String, String>)> {
    decode(file).ok().map(|envelope| (envelope.message, envelope.trace))
}

/// What is written into a file.
pub fn write(message: &RegistrationMessage, trace: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    encode(message, trace).ok()
}

/// The name of an attempt's file.
pub fn name(key: &AttemptKey) -> String {
    Name::of(key).as_str().to_owned()
}

/// The attempt that a file is of, if its name is that of a spooled registration.
pub fn attempt(file: &str) -> Option<AttemptId> {
    match kind(file) {
        Kind::Spooled(name) => name.attempt(),
        Kind::Temporary | Kind::Corrupt | Kind::Foreign => None,
    }
}
