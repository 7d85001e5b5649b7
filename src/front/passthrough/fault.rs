//! Why a request could not be proxied, and the response that says so.
//!
//! Invariant: each response names the cause and the fix; none holds a path, a query or a header of
//! the request.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Error;

use super::proxied::Outcome;
use crate::front::refusal::boom;

/// A `String` is the upstream URL, a `Duration` the idle timeout.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFault {
    #[error(
        "the country's configuration service ({0}) cannot be reached: start it, or correct COUNTRY_CONFIG_URL"
    )]
    Away(String, #[source] Error),
    #[error(
        "the country's configuration service ({0}) broke the connection off before it answered: see its log"
    )]
    BrokeOff(String, #[source] Error),
    #[error(
        "the country's configuration service ({0}) sent nothing for {1:?}: see its log, or raise FRONT_PASS_PATIENCE"
    )]
    Silent(String, Duration),
    #[error("the body stalled for {0:?}: send all of it, or raise FRONT_PASS_PATIENCE")]
    Stalled(Duration),
    #[error("the body ended before it was complete: send all of it")]
    Left,
    #[error(
        "FRONT_PASS_LIMIT requests are being proxied to the country's configuration service already: find out why it is \
         slow, or raise the limit"
    )]
    Busy,
    #[error(
        "this caller has three quarters of FRONT_PASS_LIMIT requests under way already: wait for their responses, or raise \
         the limit; if a reverse proxy is before the front, name it in TRUSTED_PROXIES"
    )]
    TooMany,
    #[error("the request was proxied here before: COUNTRY_CONFIG_URL must not lead back to the bridge")]
    Loop,
    #[error("this request target cannot be proxied: it must begin with a slash")]
    Target,
    /// Such a target could leave the base path of the service.
    #[error("this request target cannot be proxied: resolve its segments `.` and `..` first")]
    Dots,
}

impl ProxyFault {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Away(..) => Outcome::Away,
            Self::BrokeOff(..) => Outcome::BrokeOff,
            Self::Silent(..) => Outcome::Silent,
            Self::Stalled(_) => Outcome::Stalled,
            Self::Left => Outcome::Left,
            Self::Busy => Outcome::Busy,
            Self::Loop => Outcome::Loop,
            Self::TooMany => Outcome::TooMany,
            Self::Target | Self::Dots => Outcome::Target,
        }
    }
}

impl IntoResponse for ProxyFault {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Away(..) | Self::BrokeOff(..) => StatusCode::BAD_GATEWAY,
            Self::Silent(..) => StatusCode::GATEWAY_TIMEOUT,
            Self::Stalled(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Left | Self::Target | Self::Dots => StatusCode::BAD_REQUEST,
        };
        boom(status, &self.to_string())
    }
}
