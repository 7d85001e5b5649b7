//! What can go wrong at the gateway, and what that says of a write that was under way.
//!
//! Source: the error table of the gateway and of workflow behind it, 1.7.0–1.9.15 (messages and codes; HTTP is 200
//! unless said).

use std::time::Duration;

use serde_json::Value;

use crate::domain::Cause;
use crate::opencrvs::Lost;

/// What a fault means for what was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// Nothing was done and nothing will be, however often it is tried.
    Permanent,
    /// Nothing was done; it may be tried again.
    Transient,
    /// Nothing was done; it may be tried again after this.
    Throttled(Duration),
    /// It may have been done: read before anything else.
    Ambiguous,
}

/// A fault of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GatewayFault {
    /// The request never left, or a proxy had nowhere to pass it on to.
    #[error("the gateway cannot be reached: check GATEWAY_URL and that it is up")]
    Unreachable,
    /// No complete answer within the time.
    #[error("the gateway did not answer in time")]
    TimedOut,
    /// The connection ended before the answer was complete.
    #[error("the gateway's answer broke off")]
    BrokenOff,
    /// A 5xx of the gateway or of a proxy before it.
    #[error("the gateway answered with HTTP {0}")]
    Status(u16),
    /// Too many requests.
    #[error("the gateway asks to wait")]
    Throttled(Option<Duration>),
    /// `Unauthorized`: the token is expired, of another key or for another audience.
    #[error("OpenCRVS refuses the record's token: it has expired, or auth's key was changed")]
    Unauthorized,
    /// `Authentication failed`: the registrar behind the token is not active.
    #[error("the registrar whose token this is is not active in OpenCRVS any more")]
    RegistrarInactive,
    /// `UNAUTHENTICATED` with any other text: the look-up of the registrar failed.
    #[error("OpenCRVS could not look the registrar up")]
    LookupFailed,
    /// The token lacks the scope, or is for another record.
    #[error("OpenCRVS does not accept this token for this record")]
    RecordRefused,
    /// `Failed to fetch record`: there is no such record (or search is in trouble).
    #[error("OpenCRVS could not find the record")]
    NotFound,
    /// Workflow answered 401 or 403 behind the gateway.
    #[error("OpenCRVS's workflow service refuses the token")]
    WorkflowRefused,
    /// Something behind the gateway failed, perhaps after the record was saved.
    #[error("OpenCRVS failed behind the gateway")]
    Downstream,
    /// The gateway's GraphQL is not the one that is spoken here.
    #[error("the gateway does not accept the query: is it OpenCRVS 1.7 to 1.9?")]
    Contract,
    /// An answer that is not what GraphQL promises.
    #[error("the gateway's answer cannot be read")]
    Unreadable,
}

/// How long to wait when asked to without a time.
const PAUSE: Duration = Duration::from_secs(60);

impl GatewayFault {
    /// What it means for what was to be done.
    pub fn class(&self) -> FaultClass {
        match self {
            Self::Unreachable | Self::LookupFailed | Self::NotFound => FaultClass::Transient,
            Self::Throttled(after) => FaultClass::Throttled(after.unwrap_or(PAUSE)),
            Self::Unauthorized
            | Self::RegistrarInactive
            | Self::RecordRefused
            | Self::WorkflowRefused
            | Self::Contract => FaultClass::Permanent,
            Self::TimedOut | Self::BrokenOff | Self::Status(_) | Self::Downstream | Self::Unreadable => {
                FaultClass::Ambiguous
            }
        }
    }

    /// Whether it is the gateway that is in trouble, whatever the record.
    pub fn is_outage(&self) -> bool {
        self.cause() == Cause::GatewayUnavailable
    }

    /// Its name for operators.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Unreachable
            | Self::TimedOut
            | Self::BrokenOff
            | Self::Status(_)
            | Self::Throttled(_)
            | Self::LookupFailed
            | Self::Downstream
            | Self::Unreadable => Cause::GatewayUnavailable,
            Self::Unauthorized | Self::WorkflowRefused => Cause::TokenRefused,
            Self::RegistrarInactive => Cause::RegistrarInactive,
            Self::RecordRefused => Cause::RecordRefused,
            Self::NotFound => Cause::NotYetVisible,
            Self::Contract => Cause::GatewayContract,
        }
    }

    pub(super) fn of_transport(error: &reqwest::Error) -> Self {
        match Lost::of(error) {
            Lost::Unreachable => Self::Unreachable,
            Lost::TimedOut => Self::TimedOut,
            Lost::BrokenOff => Self::BrokenOff,
        }
    }

    pub(super) fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            // 402 is how the rate limiter of 1.7–1.9 answers REST calls.
            429 | 402 => Self::Throttled(retry_after),
            401 | 403 => Self::Unauthorized,
            400 | 404 | 405 | 413 | 415 => Self::Contract,
            other => Self::Status(other),
        }
    }

    /// The first of `errors[]`.
    pub(super) fn of_error(error: &Value) -> Self {
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        let code = error.pointer("/extensions/code").and_then(Value::as_str).unwrap_or_default();
        match code {
            "UNAUTHENTICATED" => match message {
                "Unauthorized" => Self::Unauthorized,
                "Authentication failed" => Self::RegistrarInactive,
                _ => Self::LookupFailed,
            },
            "GRAPHQL_PARSE_FAILED" | "GRAPHQL_VALIDATION_FAILED" | "BAD_USER_INPUT" | "BAD_REQUEST" => {
                Self::Contract
            }
            "RATE_LIMIT_EXCEEDED" => Self::Throttled(None),
            _ => Self::of_message(message),
        }
    }

    fn of_message(message: &str) -> Self {
        match message {
            "User does not have a Confirm Registration scope" | "User does not have access to the record" => {
                Self::RecordRefused
            }
            "Failed to confirm registration: Unauthorized" | "Failed to confirm registration: Forbidden" => {
                Self::WorkflowRefused
            }
            _ if message.starts_with("Failed to fetch record") => Self::NotFound,
            _ => Self::Downstream,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(message: &str, code: &str) -> GatewayFault {
        GatewayFault::of_error(&json!({ "message": message, "extensions": { "code": code } }))
    }

    #[test]
    fn every_row_of_the_gateways_error_table_has_its_class_and_cause() {
        let internal = "INTERNAL_SERVER_ERROR";
        for (message, code, class, cause) in [
            ("Unauthorized", "UNAUTHENTICATED", FaultClass::Permanent, Cause::TokenRefused),
            ("Authentication failed", "UNAUTHENTICATED", FaultClass::Permanent, Cause::RegistrarInactive),
            (
                "request to http://user-mgnt:3030/getUser failed",
                "UNAUTHENTICATED",
                FaultClass::Transient,
                Cause::GatewayUnavailable,
            ),
            (
                "User does not have a Confirm Registration scope",
                internal,
                FaultClass::Permanent,
                Cause::RecordRefused,
            ),
            (
                "User does not have access to the record",
                internal,
                FaultClass::Permanent,
                Cause::RecordRefused,
            ),
            (
                "Failed to confirm registration: Internal Server Error",
                internal,
                FaultClass::Ambiguous,
                Cause::GatewayUnavailable,
            ),
            (
                "Failed to confirm registration: request to http://workflow:5050 failed, reason: connect ECONNREFUSED",
                internal,
                FaultClass::Ambiguous,
                Cause::GatewayUnavailable,
            ),
            (
                "Failed to confirm registration: Unauthorized",
                internal,
                FaultClass::Permanent,
                Cause::TokenRefused,
            ),
            (
                "Failed to confirm registration: Forbidden",
                internal,
                FaultClass::Permanent,
                Cause::TokenRefused,
            ),
            ("Syntax Error", "GRAPHQL_PARSE_FAILED", FaultClass::Permanent, Cause::GatewayContract),
            ("Unknown argument", "GRAPHQL_VALIDATION_FAILED", FaultClass::Permanent, Cause::GatewayContract),
            ("Variable", "BAD_USER_INPUT", FaultClass::Permanent, Cause::GatewayContract),
            ("Failed to fetch record 7", internal, FaultClass::Transient, Cause::NotYetVisible),
        ] {
            let fault = fault(message, code);
            assert_eq!((fault.class(), fault.cause()), (class, cause), "{message}");
        }
    }

    #[test]
    fn a_fault_never_repeats_what_the_gateway_wrote() {
        let told = fault("Failed to confirm registration: Ada Doe", "INTERNAL_SERVER_ERROR").to_string();
        assert!(!told.contains("Ada"), "{told}");
    }

    #[test]
    fn a_server_error_may_have_written_and_a_throttle_has_not() {
        assert_eq!(GatewayFault::of_status(502, None).class(), FaultClass::Ambiguous);
        let wait = Duration::from_secs(7);
        assert_eq!(GatewayFault::of_status(429, Some(wait)).class(), FaultClass::Throttled(wait));
        // A redirection is not followed; who knows what passed the request on.
        assert_eq!(GatewayFault::of_status(307, None).class(), FaultClass::Ambiguous);
    }
}
