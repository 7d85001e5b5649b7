//! Why there is no answer of the country's configuration service, and what is answered instead.
//!
//! Invariant: each names the cause and the fix; none holds a path, a query or a header of the request.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Error;

use super::passage::Outcome;
use crate::front::refusal::boom;

/// Why there is no answer; the text is where the service was looked for.
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
        "the country's configuration service ({0}) was silent for {1:?}: see its log, or raise FRONT_PASS_PATIENCE"
    )]
    Silent(String, Duration),
    #[error("no more of the body came for {0:?}: send all of it, or raise FRONT_PASS_PATIENCE")]
    Stalled(Duration),
    #[error("the body ended before it was complete: send all of it")]
    Left,
    #[error(
        "more requests are under way to the country's configuration service than FRONT_PASS_LIMIT allows: see why it \
         is slow, or raise the limit"
    )]
    Busy,
    #[error("the request has been here before: COUNTRY_CONFIG_URL must not lead back to the bridge")]
    Loop,
    #[error("this target cannot be passed on: it must begin with a slash")]
    Target,
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
            Self::Target => Outcome::Target,
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
            Self::Left | Self::Target => StatusCode::BAD_REQUEST,
        };
        boom(status, &self.to_string())
    }
}
