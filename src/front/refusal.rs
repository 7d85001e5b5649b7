//! What the front answers when it does not take a registration.
//!
//! Shaped as hapi's boom, which OpenCRVS speaks: `{statusCode, error, message, msg}`; versions up to 1.4 read `msg`.
//!
//! OpenCRVS of the events generation keeps a record requested for ever after anything but 200, 202 or 400, and tells
//! the registrar that all is well; so each refusal has a second form, [`Refusal::rejecting`], which is a 400 whatever
//! the fault: the registrar sees it, and may register again.
//!
//! Invariant: every message names the cause and the fix, and none holds personal data, a token or a part of the body.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::spool::NotSpooled;
use crate::broker::PublishError;
use crate::opencrvs::{TokenFault, events, fhir};

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// The body.
    #[error(transparent)]
    Body(#[from] fhir::InvalidBundle),
    /// The body, of the events generation.
    #[error(transparent)]
    Event(#[from] events::InvalidDocument),
    /// The events generation is not served here.
    #[error(
        "registrations of the events generation are not taken here: set FRONT_EVENTS=true, and FRONT_SPOOL, which it needs"
    )]
    EventsOff,
    /// The body broke off.
    #[error("the body ended before it was complete: send the whole bundle")]
    BodyBrokeOff,
    /// The caller said no more.
    #[error("no more of the body came for {pause:?}: send the whole bundle, or raise FRONT_BODY_TIMEOUT")]
    BodyStalled {
        /// How long it was waited for.
        pause: Duration,
    },
    /// The body is too long.
    #[error(
        "the body is longer than {max} bytes: raise FRONT_MAX_BODY, or keep attachments out of the record"
    )]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// The broker did not take it; it is certain that it has nothing.
    #[error("the message broker is away, so nothing was stored: submit the record again when it is back")]
    BrokerAway,
    /// The broker did not confirm in time; it may have it.
    #[error("the message broker did not confirm in time: submit the record again; a repeat does no harm")]
    Unconfirmed(#[source] PublishError),
    /// The broker did not take it, and neither did the spool.
    #[error(
        "the message broker is away and the spool cannot take the registration ({0}): submit the record again later"
    )]
    NotSpooled(#[from] NotSpooled),
    /// Sealing or writing the message failed.
    #[error("the bridge could not seal the registration: this is a fault of the bridge, see its log")]
    Internal,
    /// Another path.
    #[error(
        "there is nothing at this path: registrations are taken at POST /event-registration; with COUNTRY_CONFIG_URL \
         all else is passed on to the country's configuration service"
    )]
    UnknownPath,
    /// Another method.
    #[error("this path takes another method: registrations are taken at POST /event-registration")]
    UnknownMethod {
        /// Those that it takes.
        allowed: &'static str,
    },
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Token(TokenFault::NoKey)
            | Self::BrokerAway
            | Self::Unconfirmed(_)
            | Self::NotSpooled(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Body(_) | Self::Event(_) | Self::EventsOff | Self::BodyBrokeOff => StatusCode::BAD_REQUEST,
            Self::BodyStalled { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::UnknownMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The outcome in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Token(TokenFault::NoKey) => "no_key",
            Self::Token(_) => "unauthorized",
            Self::Body(_) | Self::Event(_) | Self::BodyBrokeOff => "bad_request",
            Self::EventsOff => "events_off",
            Self::BodyStalled { .. } => "stalled",
            Self::TooLarge { .. } => "too_large",
            Self::BrokerAway => "broker_away",
            Self::Unconfirmed(_) => "unconfirmed",
            Self::NotSpooled(NotSpooled::Full(_)) => "spool_full",
            Self::NotSpooled(NotSpooled::Disk(_) | NotSpooled::Slow | NotSpooled::Internal) => "spool_failed",
            Self::Internal => "internal",
            Self::UnknownPath | Self::UnknownMethod { .. } => "unknown",
        }
    }
}

impl Refusal {
    /// The answer to the events generation: a rejection, which is the one answer there that says no and leaves the record
    /// free. Where the broker may have the registration all the same, its answer comes to nothing once the registrar
    /// has registered again: the newest attempt wins, and the ID system knows it for the same request.
    pub fn rejecting(self) -> Response {
        self.response(StatusCode::BAD_REQUEST)
    }

    fn response(self, status: StatusCode) -> Response {
        let mut response = boom(status, &self.to_string());
        if let Self::UnknownMethod { allowed } = self {
            response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
        }
        response
    }
}

/// An error as OpenCRVS reads it.
pub(super) fn boom(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "statusCode": status.as_u16(),
        "error": status.canonical_reason().unwrap_or("Error"),
        "message": message,
        "msg": message,
    });
    let mut response =
        (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string())
            .into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("30"));
    }
    response
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        self.response(status)
    }
}
