//! What authorizes a call, and what a refusal means for it.
//!
//! Invariant: a fault of the bridge's client is a matter of configuration and never of the record.

use secrecy::SecretString;

use crate::domain::{ActionId, EventKind, RecordId};
use crate::opencrvs::client::{AccessToken, Right};
use crate::opencrvs::fault::OpencrvsFault;

/// The action that a call is about.
#[derive(Debug, Clone, Copy)]
pub struct PendingAction<'a> {
    pub record: &'a RecordId,
    pub action: &'a ActionId,
    pub kind: &'a EventKind,
}

/// What authorizes a call.
#[derive(Debug, Clone, Copy)]
pub enum Bearer<'a> {
    /// The action token that came with the registration.
    Token(&'a SecretString),
    /// An access token of the bridge's own client.
    Client(&'a AccessToken),
}

impl<'a> Bearer<'a> {
    pub(super) fn secret(self) -> &'a SecretString {
        match self {
            Self::Token(token) => token,
            Self::Client(token) => token.secret(),
        }
    }

    /// What a fault means for this caller. A refused client is a matter of configuration, not of
    /// the record. Core conceals events of other kinds than those in the client's scopes (404).
    pub(super) fn explain(self, fault: OpencrvsFault, right: Right, kind: &EventKind) -> OpencrvsFault {
        match (self, fault) {
            (Self::Client(_), OpencrvsFault::Unauthorized) => OpencrvsFault::ClientRefused,
            (Self::Client(_), OpencrvsFault::RecordRefused) => OpencrvsFault::ClientScope,
            (Self::Client(token), OpencrvsFault::EventNotFound) if !token.may(right, kind) => {
                OpencrvsFault::ClientScope
            }
            (Self::Client(_) | Self::Token(_), fault) => fault,
        }
    }
}
