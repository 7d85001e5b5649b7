//! Why a call to OpenCRVS failed, in both generations, and what the failure says about a write.
//!
//! `fhir/graphql.rs` maps the GraphQL errors of the FHIR generation, and `events/trpc.rs` the tRPC
//! errors of the events generation. The confirmer decides what to do about each class of fault, in
//! one place per generation.
//!
//! Invariant: a fault never contains a text from OpenCRVS, because such a text may quote anything.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use serde_json::value::RawValue;

use super::call::{CallFault, CompleteResponse};
use crate::domain::{Budget, Cause, Dialect};

/// What a fault says about the requested write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// Nothing was written, and repeating the call will not help.
    Permanent,
    /// Nothing was written; the call may be repeated.
    Transient,
    /// Nothing was written; the call may be repeated after this time.
    Throttled(Duration),
    /// The write may have taken place.
    Ambiguous,
    /// OpenCRVS has rejected the action already, so it cannot be accepted any more (events
    /// generation).
    AlreadyRejected,
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpencrvsFault {
    /// The request was not sent, or a reverse proxy had no backend for it.
    #[error("the gateway of OpenCRVS cannot be reached: check GATEWAY_URL and that it is up")]
    Unreachable,
    /// The request was not sent.
    #[error(
        "the gateway of OpenCRVS speaks no TLS on this port: write GATEWAY_URL with http://, or name the port with TLS"
    )]
    NoTls,
    #[error("OpenCRVS did not answer in time")]
    TimedOut,
    #[error("the connection to OpenCRVS broke before its response was complete")]
    BrokenOff,
    /// A status that does not tell whether the call succeeded, such as a 5xx from OpenCRVS or from
    /// a reverse proxy. In the events generation, also the status with which OpenCRVS refuses to
    /// reject an action that is accepted already or unknown.
    #[error("OpenCRVS answered with HTTP {0}")]
    Status(u16),
    /// Too many requests. Holds the time of `Retry-After`, if the response has one.
    #[error("OpenCRVS limits the requests (HTTP 429): the bridge tries again later")]
    Throttled(Option<Duration>),
    /// The token has expired, is signed with another key or is for another audience.
    #[error("OpenCRVS refuses the record's token: it has expired, or auth's key was changed")]
    Unauthorized,
    #[error("the registrar of this token is not active in OpenCRVS any more")]
    RegistrarInactive,
    /// OpenCRVS could not look up the user of the token.
    #[error("OpenCRVS could not look up the registrar of this token")]
    LookupFailed,
    /// The token lacks the scope, or is for another record or action.
    #[error("OpenCRVS does not accept this token for this record")]
    RecordRefused,
    /// OpenCRVS has no such record, or its search service is in trouble (FHIR generation).
    #[error("OpenCRVS could not find the record")]
    RecordNotFound,
    /// The event has no such action (events generation).
    #[error("OpenCRVS does not know the record or its action")]
    ActionNotFound,
    /// OpenCRVS has no such event. It also says so of an event whose kind is outside the scopes of
    /// the client (events generation, 2.1).
    #[error("OpenCRVS does not know the record")]
    EventNotFound,
    /// The action waits for no confirmation, or is of another type (events generation, 2.1).
    #[error("the action in OpenCRVS does not wait for this answer")]
    NotPending,
    /// A user is assigned to the event, so no client may answer it (events generation, 2.1).
    #[error("a user of OpenCRVS is assigned to the record")]
    Assigned,
    /// OpenCRVS refuses the bridge's client, or its access token.
    #[error(
        "OpenCRVS refuses the bridge's client: check OPENCRVS_CLIENT_ID and OPENCRVS_CLIENT_SECRET, and that OpenCRVS knows the client and it is active"
    )]
    ClientRefused,
    /// The bridge's client lacks a scope, or this release lets no client confirm.
    #[error(
        "OpenCRVS does not let the bridge's client do this: see `nidbridge opencrvs client` for the scopes that it lacks"
    )]
    ClientScope,
    /// The workflow service answered the gateway with 401 or 403 (FHIR generation).
    #[error("the workflow service of OpenCRVS refuses the token")]
    WorkflowRefused,
    /// A service behind the gateway failed, perhaps after the record was saved (FHIR generation).
    #[error("a service behind the gateway of OpenCRVS failed")]
    Downstream,
    /// The action was rejected before (events generation).
    #[error("OpenCRVS has rejected the action already")]
    AlreadyRejected,
    /// OpenCRVS refuses a field of the declaration, and has stored nothing (events generation,
    /// 2.1).
    #[error("OpenCRVS refuses a field of the acceptance: the country's form does not define it, or hides it")]
    FieldUndefined,
    /// OpenCRVS does not know the call, or does not take its input.
    #[error("OpenCRVS does not accept the call: check that its version is supported (1.7 to 2.x)")]
    Contract,
    /// The response does not follow the protocol.
    #[error("the response of OpenCRVS cannot be read")]
    Unreadable,
}

/// Used when OpenCRVS throttles without a `Retry-After`.
pub(super) const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(60);

impl OpencrvsFault {
    pub fn class(&self) -> FaultClass {
        match self {
            Self::Unreachable
            | Self::NoTls
            | Self::LookupFailed
            | Self::RecordNotFound
            | Self::Assigned
            | Self::ClientRefused
            | Self::ClientScope => FaultClass::Transient,
            Self::Throttled(after) => FaultClass::Throttled(after.unwrap_or(DEFAULT_RETRY_AFTER)),
            Self::Unauthorized
            | Self::RegistrarInactive
            | Self::RecordRefused
            | Self::ActionNotFound
            | Self::EventNotFound
            | Self::NotPending
            | Self::WorkflowRefused
            | Self::FieldUndefined
            | Self::Contract => FaultClass::Permanent,
            Self::TimedOut | Self::BrokenOff | Self::Status(_) | Self::Downstream | Self::Unreadable => {
                FaultClass::Ambiguous
            }
            Self::AlreadyRejected => FaultClass::AlreadyRejected,
        }
    }

    /// Whether the fault is an outage of OpenCRVS, independent of the record.
    pub fn is_outage(&self) -> bool {
        self.cause() == Cause::GatewayUnavailable
    }

    /// The cause that operators see.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Unreachable
            | Self::NoTls
            | Self::TimedOut
            | Self::BrokenOff
            | Self::Status(_)
            | Self::Throttled(_)
            | Self::LookupFailed
            | Self::Downstream
            | Self::Unreadable => Cause::GatewayUnavailable,
            Self::Unauthorized | Self::WorkflowRefused => Cause::TokenRefused,
            Self::RegistrarInactive => Cause::RegistrarInactive,
            Self::RecordRefused | Self::ActionNotFound | Self::EventNotFound | Self::NotPending => {
                Cause::RecordRefused
            }
            Self::Assigned => Cause::Assigned,
            Self::ClientRefused => Cause::ClientRefused,
            Self::ClientScope => Cause::ClientScope,
            Self::RecordNotFound => Cause::NotYetVisible,
            Self::AlreadyRejected => Cause::MovedOn,
            Self::FieldUndefined => Cause::FieldUndefined,
            Self::Contract => Cause::GatewayContract,
        }
    }

    /// The fault for a response whose body contains no GraphQL or tRPC error.
    pub(super) fn of_status(dialect: Dialect, status: StatusCode, retry_after: Option<Duration>) -> Self {
        match status.as_u16() {
            // The rate limiter of 1.7–1.9 answers REST calls with 402.
            429 | 402 => Self::Throttled(retry_after),
            401 => Self::Unauthorized,
            403 => match dialect {
                Dialect::Fhir => Self::Unauthorized,
                Dialect::Events => Self::RecordRefused,
            },
            400 | 404 | 405 | 413 | 415 => Self::Contract,
            other => Self::Status(other),
        }
    }
}

impl From<CallFault> for OpencrvsFault {
    fn from(fault: CallFault) -> Self {
        match fault {
            CallFault::NotSent => Self::Unreachable,
            CallFault::NoTls => Self::NoTls,
            CallFault::TimedOut => Self::TimedOut,
            CallFault::BrokenOff => Self::BrokenOff,
            CallFault::TooLong => Self::Unreadable,
        }
    }
}

/// Builds the JSON of a response, within a budget. A server error or a 429 is a fault whatever its
/// body says, because such a body proves nothing.
pub(super) fn json_of(dialect: Dialect, response: &CompleteResponse) -> Result<Value, OpencrvsFault> {
    let raw = raw_of(dialect, response)?;
    Budget::of(response.body.len()).build(raw.get()).map_err(|_| unreadable(dialect, response))
}

/// Like [`json_of`], but nothing is built.
pub(super) fn raw_of(dialect: Dialect, response: &CompleteResponse) -> Result<&RawValue, OpencrvsFault> {
    let CompleteResponse { status, retry_after, body } = response;
    if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS {
        return Err(OpencrvsFault::of_status(dialect, *status, *retry_after));
    }
    serde_json::from_slice(body).map_err(|_| unreadable(dialect, response))
}

/// The fault for a body that is not what the service answers.
pub(super) fn unreadable(dialect: Dialect, response: &CompleteResponse) -> OpencrvsFault {
    match response.status {
        status if status.is_success() => OpencrvsFault::Unreadable,
        // A reverse proxy answers like this while its backend is not up yet. The gateway's own
        // responses are JSON.
        StatusCode::NOT_FOUND => OpencrvsFault::Unreachable,
        status => OpencrvsFault::of_status(dialect, status, response.retry_after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dialect: Dialect, status: u16, retry_after: Option<Duration>) -> OpencrvsFault {
        OpencrvsFault::of_status(dialect, StatusCode::from_u16(status).unwrap(), retry_after)
    }

    #[test]
    fn a_server_error_may_have_written_and_a_throttle_has_not() {
        for dialect in [Dialect::Fhir, Dialect::Events] {
            assert_eq!(of(dialect, 502, None).class(), FaultClass::Ambiguous);
            let wait = Duration::from_secs(7);
            assert_eq!(of(dialect, 429, Some(wait)).class(), FaultClass::Throttled(wait));
            assert_eq!(of(dialect, 402, None).class(), FaultClass::Throttled(Duration::from_secs(60)));
            // A redirect is not followed, and whoever sent it may have forwarded the request.
            assert_eq!(of(dialect, 307, None).class(), FaultClass::Ambiguous);
        }
    }

    #[test]
    fn a_bare_403_is_about_the_token_in_fhir_and_about_the_action_in_events() {
        assert_eq!(of(Dialect::Fhir, 403, None).cause(), Cause::TokenRefused);
        assert_eq!(of(Dialect::Events, 403, None).cause(), Cause::RecordRefused);
    }

    #[test]
    fn a_response_that_is_not_json_is_told_apart_by_its_status() {
        let of = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let response = CompleteResponse { status, retry_after: None, body: body.into() };
            json_of(Dialect::Fhir, &response).unwrap_err()
        };
        assert_eq!(of(200, "<html>"), OpencrvsFault::Unreadable);
        assert_eq!(of(404, "<html>"), OpencrvsFault::Unreachable);
        assert_eq!(of(400, "<html>"), OpencrvsFault::Contract);
        assert_eq!(of(503, "{}"), OpencrvsFault::Status(503));
        assert_eq!(of(429, "{}"), OpencrvsFault::Throttled(None));
    }

    #[test]
    fn an_outage_is_a_fault_of_opencrvs_and_not_of_the_record_or_its_token() {
        for outage in [OpencrvsFault::Unreachable, OpencrvsFault::TimedOut, OpencrvsFault::Status(502)] {
            assert!(outage.is_outage(), "{outage:?}");
        }
        for other in [OpencrvsFault::Unauthorized, OpencrvsFault::RecordRefused, OpencrvsFault::Assigned] {
            assert!(!other.is_outage(), "{other:?}");
        }
    }
}
