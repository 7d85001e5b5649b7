//! What can go wrong when an action is answered, and what that says.
//!
//! Source: the events service behind the gateway, 1.9.0–2.0.0, with the messages of production.

use std::time::Duration;

use serde_json::Value;

use crate::domain::Cause;
use crate::opencrvs::Lost;

/// What a fault means for what was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionClass {
    /// It will fail however often it is tried.
    Permanent,
    /// It may have been done or not. Nothing is lost by doing it again, after this if a time is named.
    Repeat(Option<Duration>),
    /// OpenCRVS has rejected the action: it cannot be accepted any more.
    Over,
}

/// A fault of the events service or of the gateway before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActionFault {
    /// The request never left, or a proxy had nowhere to pass it on to.
    #[error("the gateway cannot be reached: check GATEWAY_URL and that it is up")]
    Unreachable,
    /// No complete answer within the time.
    #[error("the events service did not answer in time")]
    TimedOut,
    /// The connection ended before the answer was complete.
    #[error("the events service's answer broke off")]
    BrokenOff,
    /// A 5xx: trouble, or (at a rejection) an action that is accepted already or is not known.
    #[error("the events service answered with HTTP {0}")]
    Status(u16),
    /// Too many requests.
    #[error("the gateway asks to wait")]
    Throttled(Option<Duration>),
    /// The token is expired or of another key.
    #[error("OpenCRVS refuses the record's token: it has expired, or auth's key was changed")]
    Unauthorized,
    /// The token lacks the scope, or is for another action.
    #[error("OpenCRVS does not accept this token for this action")]
    Forbidden,
    /// No such event, or no such action in it.
    #[error("OpenCRVS does not know the record or its action")]
    NotFound,
    /// The action was rejected before.
    #[error("OpenCRVS has rejected the action already")]
    AlreadyRejected,
    /// The events service is not the one that is spoken to here, or does not take what it was sent.
    #[error("the events service does not accept the call: is it OpenCRVS 1.9 or 2.x?")]
    Contract,
    /// An answer that is not what tRPC promises.
    #[error("the events service's answer cannot be read")]
    Unreadable,
}

/// How long to wait when asked to without a time.
const PAUSE: Duration = Duration::from_secs(60);

impl ActionFault {
    /// What it means for what was to be done.
    pub fn class(&self) -> ActionClass {
        match self {
            Self::Unreachable | Self::TimedOut | Self::BrokenOff | Self::Status(_) | Self::Unreadable => {
                ActionClass::Repeat(None)
            }
            Self::Throttled(after) => ActionClass::Repeat(Some(after.unwrap_or(PAUSE))),
            Self::Unauthorized | Self::Forbidden | Self::NotFound | Self::Contract => ActionClass::Permanent,
            Self::AlreadyRejected => ActionClass::Over,
        }
    }

    /// Its name for operators.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Unreachable
            | Self::TimedOut
            | Self::BrokenOff
            | Self::Status(_)
            | Self::Throttled(_)
            | Self::Unreadable => Cause::GatewayUnavailable,
            Self::Unauthorized => Cause::TokenRefused,
            Self::Forbidden | Self::NotFound => Cause::RecordRefused,
            Self::AlreadyRejected => Cause::MovedOn,
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

    /// An answer that is not one of tRPC.
    pub(super) fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            429 | 402 => Self::Throttled(retry_after),
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            400 | 404 | 405 | 413 | 415 => Self::Contract,
            other => Self::Status(other),
        }
    }

    /// `error.json` of an answer of tRPC.
    pub(super) fn of_error(status: u16, error: &Value) -> Self {
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        match error.pointer("/data/code").and_then(Value::as_str).unwrap_or_default() {
            "UNAUTHORIZED" => Self::Unauthorized,
            "FORBIDDEN" => Self::Forbidden,
            "NOT_FOUND" if message.starts_with("No procedure found") => Self::Contract,
            "NOT_FOUND" => Self::NotFound,
            "BAD_REQUEST" if message.starts_with("Action has already been rejected") => Self::AlreadyRejected,
            "BAD_REQUEST"
            | "PARSE_ERROR"
            | "UNSUPPORTED_MEDIA_TYPE"
            | "METHOD_NOT_SUPPORTED"
            | "PAYLOAD_TOO_LARGE" => Self::Contract,
            "TOO_MANY_REQUESTS" => Self::Throttled(None),
            _ => Self::of_status(status, None),
        }
    }
}
