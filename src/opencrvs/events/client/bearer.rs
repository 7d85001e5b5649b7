//! The token that authorizes a call, and what a refusal of the call means.
//!
//! Invariant: a refusal of the bridge's client is reported as a fault of the configuration, never
//! of the record.

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

/// The token that authorizes a call.
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

    /// What a fault means for this token. OpenCRVS responds with 404 for an event whose kind is
    /// outside the client's scopes, so there [`OpencrvsFault::EventNotFound`] means a missing
    /// scope.
    pub(super) fn interpret(self, fault: OpencrvsFault, right: Right, kind: &EventKind) -> OpencrvsFault {
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
