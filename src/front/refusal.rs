//! Why the front refuses a request, and the response that says so.
//!
//! The body has the form of hapi's boom, which OpenCRVS uses: `{statusCode, error, message, msg}`.
//! OpenCRVS up to 1.4 reads `msg`.
//!
//! After any status but 200, 202 or 400, OpenCRVS of the events generation leaves the record
//! requested for ever and reports success to the registrar. So each refusal has a second form,
//! [`Refusal::rejecting`], which is always a 400: the registrar sees it and can register again.
//!
//! Invariant: every message names the cause and the fix; none holds personal data, a token or a
//! part of the body.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::server::MOST_OF_ONE;
use super::spool::NotSpooled;
use crate::broker::PublishError;
use crate::domain::escaped_json;
use crate::nid::FieldFaults;
use crate::opencrvs::{TokenFault, events, fhir};

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Token(#[from] TokenFault),
    #[error(transparent)]
    Body(#[from] fhir::InvalidBundle),
    #[error(transparent)]
    Event(#[from] events::InvalidDocument),
    /// The ID system's contract requires more than the registration has.
    #[error(
        "the National ID system cannot be asked about this record: {0}: correct the record and register it again"
    )]
    Unfit(FieldFaults),
    #[error(
        "registrations of the events generation are not accepted here: set FRONT_EVENTS=true, and FRONT_SPOOL, which it needs"
    )]
    EventsOff,
    #[error("the body ended before it was complete: send the whole bundle")]
    BodyBrokeOff,
    #[error("the body stalled for {pause:?}: send the whole bundle, or raise FRONT_BODY_TIMEOUT")]
    BodyStalled { pause: Duration },
    #[error("the body came more slowly than {rate} bytes a second: send it faster, or lower FRONT_BODY_RATE")]
    BodySlow {
        /// In bytes a second.
        rate: usize,
    },
    #[error(
        "the memory for bodies was in use for {waited:?}, so nothing was stored: submit the record again later, or raise \
         FRONT_BODY_MEMORY"
    )]
    MemoryFull { waited: Duration },
    #[error(
        "the body is longer than {max} bytes: raise FRONT_MAX_BODY, or keep attachments out of the record"
    )]
    TooLarge {
        /// In bytes.
        max: usize,
    },
    /// The broker certainly does not have the registration.
    #[error("the message broker is unavailable, so nothing was stored: submit the record again later")]
    BrokerAway,
    /// The broker refused this front
    /// ([`AdmissionState::Refused`](crate::pipeline::AdmissionState::Refused)).
    #[error(
        "this front and the other roles of its broker have different keys, so nothing was stored (see its log): submit the record again later"
    )]
    OtherDeployment,
    /// The broker may have the registration.
    #[error("the message broker did not confirm in time: submit the record again; a repeat does no harm")]
    Unconfirmed(#[source] PublishError),
    #[error(
        "the message broker is unavailable and the spool does not take the registration ({0}): submit the record again later"
    )]
    NotSpooled(#[from] NotSpooled),
    #[error(
        "the header X-Registration-Number came without the secret of NUMBER_HEADER_SECRET: send it in \
         X-Registration-Number-Secret, or leave the number out"
    )]
    NumberSecret,
    #[error(
        "the registration number in the header X-Registration-Number is not of 1 to 64 printable ASCII characters (write digits as 0 to 9), or two differ"
    )]
    UnusableNumber,
    /// Sealing or encoding the message failed.
    #[error("the bridge could not seal the registration: this is a fault of the bridge, see its log")]
    Internal,
    #[error(
        "there is nothing at this path: registrations go to POST /event-registration; with COUNTRY_CONFIG_URL every other \
         request is proxied to the country's configuration service"
    )]
    UnknownPath,
    #[error("the request has more than one header Host: send one (RFC 9112)")]
    TwoHosts,
    #[error("the request has another Transfer-Encoding than `chunked` once: send that, or Content-Length")]
    OtherCoding,
    #[error(
        "the path is another spelling of a path of the front: write /event-registration, /trigger/events/…/actions/REGISTER \
         or /trigger/system/ready as they stand here"
    )]
    OtherSpelling,
    #[error(
        "{MOST_OF_ONE} requests with the token of this record are under way already: wait for their answers"
    )]
    TooMany,
    #[error("this path does not have that method: registrations go to POST /event-registration")]
    UnknownMethod {
        /// The value of the header `Allow`.
        allowed: &'static str,
    },
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Token(TokenFault::NoKey)
            | Self::MemoryFull { .. }
            | Self::BrokerAway
            | Self::OtherDeployment
            | Self::Unconfirmed(_)
            | Self::NotSpooled(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Body(_)
            | Self::Event(_)
            | Self::EventsOff
            | Self::BodyBrokeOff
            | Self::TwoHosts
            | Self::OtherCoding
            | Self::OtherSpelling => StatusCode::BAD_REQUEST,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::BodyStalled { .. } | Self::BodySlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NumberSecret => StatusCode::FORBIDDEN,
            Self::Unfit(_) | Self::UnusableNumber => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::UnknownMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The label `outcome` in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Token(TokenFault::NoKey) => "no_key",
            Self::Token(_) => "unauthorized",
            Self::Body(_) | Self::Event(_) | Self::BodyBrokeOff | Self::TwoHosts | Self::OtherCoding => {
                "bad_request"
            }
            Self::TooMany => "too_many",
            Self::Unfit(_) => "unfit",
            Self::EventsOff => "events_off",
            Self::BodyStalled { .. } => "stalled",
            Self::BodySlow { .. } => "slow",
            Self::MemoryFull { .. } => "memory_full",
            Self::TooLarge { .. } => "too_large",
            Self::BrokerAway => "broker_away",
            Self::OtherDeployment => "other_deployment",
            Self::Unconfirmed(_) => "unconfirmed",
            Self::NotSpooled(NotSpooled::Full(_)) => "spool_full",
            Self::NotSpooled(NotSpooled::Disk(_) | NotSpooled::Slow | NotSpooled::Internal) => "spool_failed",
            Self::NumberSecret | Self::UnusableNumber => "number_refused",
            Self::Internal => "internal",
            Self::UnknownPath | Self::OtherSpelling | Self::UnknownMethod { .. } => "unknown",
        }
    }

    /// The response for the events generation: a 400, the only status that refuses and lets the
    /// registrar try again.
    ///
    /// If the broker has the registration all the same, it does no harm when the registrar
    /// registers again: the new attempt supersedes the old one, and the ID system recognises the
    /// same request.
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

/// An error in the form of hapi's boom.
pub(super) fn boom(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "statusCode": status.as_u16(),
        "error": status.canonical_reason().unwrap_or("Error"),
        "message": message,
        "msg": message,
    });
    let text = escaped_json(&body.to_string()).into_owned();
    let mut response =
        (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response();
    if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
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
