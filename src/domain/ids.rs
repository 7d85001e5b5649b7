//! The identifiers of a registration, each a type of its own.
//!
//! Invariant: a derived id (attempt, request, transaction) is a function of what it names, so that
//! repeating a step anywhere makes the same id again.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::registration::EventKind;

/// The namespace of every `UUIDv5` that the bridge derives.
const NAMESPACE: Uuid = Uuid::from_u128(0x6e69_6462_7269_4467_8000_6372_7673_6e69);

/// Why a text cannot be used as an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must hold 1 to {max} characters and no {not}")]
pub struct UnusableId {
    what: &'static str,
    max: usize,
    not: &'static str,
}

impl UnusableId {
    pub(super) fn national_id(max: usize) -> Self {
        Self { what: "a national ID", max, not: "control or format characters, nor white space at its ends" }
    }
}

fn checked(what: &'static str, max: usize, text: &str) -> Result<String, UnusableId> {
    let usable = !text.is_empty() && text.chars().count() <= max && !text.chars().any(char::is_control);
    if usable { Ok(text.to_owned()) } else { Err(UnusableId { what, max, not: "control characters" }) }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and keeps it as it is on the wire.
            ///
            /// # Errors
            /// [`UnusableId`] when it is empty, too long or holds control characters.
            pub fn parse(text: &str) -> Result<Self, UnusableId> {
                checked($what, $max, text).map(Self)
            }

            /// The text as it is on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = UnusableId;
            fn try_from(text: String) -> Result<Self, UnusableId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

text_id! {
    /// The id of a record in OpenCRVS: `Composition.id` in the FHIR generation, the event's id in
    /// the events generation.
    RecordId, "a record id", 64
}
text_id! {
    /// The id of an action that waits for an answer, in the events generation.
    ActionId, "an action id", 64
}
text_id! {
    /// The short code that the family gets and that offices search by, such as `BXXDBIC`.
    TrackingId, "a tracking id", 32
}
text_id! {
    /// The number under which a record is registered: one per record, allocated once, stored before
    /// use.
    RegistrationNumber, "a registration number", 64
}

macro_rules! derived_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Reads an id in the form that messages and the ledger use (lower case, with dashes).
            ///
            /// # Errors
            /// If the text is not a UUID.
            pub fn parse(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

derived_id! {
    /// The id of an attempt, and the message id of everything that is published for it.
    AttemptId
}
derived_id! {
    /// The id by which the ID system knows a record: the same for every attempt of the record.
    RequestId
}

derived_id! {
    /// The idempotency key of a write to OpenCRVS, in the events generation.
    TransactionId
}

impl TransactionId {
    /// The transaction in which an action is answered. OpenCRVS core silently drops a second write
    /// of the same transaction, even to another record, so the id must belong to this action alone.
    pub fn of(action: &ActionId) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("transaction|{action}").as_bytes()))
    }
}

impl AttemptId {
    pub(super) fn derive(parts: &[&str]) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, parts.join("|").as_bytes()))
    }
}

impl RequestId {
    /// Derives the id from what stays the same when a registrar submits again.
    pub fn of(record: &RecordId, kind: &EventKind) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("request|{record}|{}", kind.as_str()).as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_the_same_for_every_attempt_and_a_version_5_uuid() {
        let record = RecordId::parse("b3821b1b-0cf8-4bdc-b94e-ecbc9af4a30e").unwrap();
        let id = RequestId::of(&record, &EventKind::Birth);
        assert_eq!(id, RequestId::of(&record, &EventKind::Birth));
        assert_ne!(id, RequestId::of(&record, &EventKind::Death));
        assert_eq!(id.to_string().chars().nth(14), Some('5'));
    }

    #[test]
    fn ids_that_would_break_a_log_line_or_a_column_are_refused() {
        for text in ["", "a\nb", &"x".repeat(65)] {
            assert!(RecordId::parse(text).is_err(), "{text:?}");
        }
    }
}
