//! Registers the bridge's system client when OpenCRVS starts: `GET /trigger/system/ready` (2.1) or
//! `/triggers/system/ready` (2.0).
//!
//! Core makes this call up to ten times, with a new bootstrap token each time, until it gets a 2xx,
//! 404 or 501. It gives up a call after 5 s. The bridge registers its own client within
//! [`OURS`], and then proxies the call unchanged, so that the country registers its clients too.
//! Without a country config the bridge answers by itself.
//!
//! | Our registration | With a country config | Without |
//! |---|---|---|
//! | done, or the client is there | its answer | 200 |
//! | may succeed later | its answer, but 503 in place of 2xx, 404 and 501, so that core repeats | 503 |
//! | needs an operator (name or id is taken) | its answer | 200: a repeat would fail in the same way |
//! | not core's token | its answer | 401 |
//!
//! Invariant: nothing is registered before the bootstrap token is verified; this call is no action,
//! so no answer to it strands a record.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;

use super::Front;
use super::accept::bearer;
use super::passthrough::Passthrough;
use super::refusal::boom;
use crate::opencrvs::{IntegrationFault, Integrations, Registered, TokenFault, WantedClient};

/// Time limit for our own registration. It leaves the country config more than half of the 5 s.
const OURS: Duration = Duration::from_secs(2);

/// Registers the bridge's client.
#[derive(Debug)]
pub struct Registrar {
    pub integrations: Integrations,
    pub client: WantedClient,
}

/// Why the client was not registered by this call.
#[derive(Debug, thiserror::Error)]
enum NotRegistered {
    #[error(transparent)]
    Token(#[from] TokenFault),
    #[error(transparent)]
    Events(#[from] IntegrationFault),
    #[error(
        "registering the bridge's client took longer than {OURS:?}: check AUTH_URL and OPENCRVS_EVENTS_URL"
    )]
    Slow,
}

impl NotRegistered {
    fn is_transient(&self) -> bool {
        match self {
            Self::Slow | Self::Token(TokenFault::NoKey) => true,
            Self::Token(_) => false,
            Self::Events(fault) => fault.is_transient(),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Token(TokenFault::NoKey) | Self::Slow => "later",
            Self::Token(_) => "unauthorized",
            Self::Events(fault) if fault.is_transient() => "later",
            Self::Events(_) => "conflict",
        }
    }
}

/// Registers the client, and answers the call.
pub(super) async fn answer(front: &Front, registrar: &Registrar, request: Request) -> Response {
    let registered = match timeout(OURS, register(front, registrar, request.headers())).await {
        Ok(registered) => registered,
        Err(_) => Err(NotRegistered::Slow),
    };
    let label = registered.as_ref().map_or_else(NotRegistered::label, |()| "registered");
    front.metrics.front_request("client", label);
    match &front.passthrough {
        Some(country) => through(country, request, &registered).await,
        None => alone(&registered),
    }
}

async fn register(front: &Front, registrar: &Registrar, headers: &HeaderMap) -> Result<(), NotRegistered> {
    let registered = try_to_register(front, registrar, headers).await;
    let client = registrar.client.name.as_str();
    match &registered {
        Ok(Registered::Created) => tracing::info!(client, "the bridge's client is registered in OpenCRVS"),
        Ok(Registered::Present { lacking }) if lacking.is_empty() => {
            tracing::info!(client, "OpenCRVS has the bridge's client already");
        }
        Ok(Registered::Present { lacking }) => tracing::error!(
            client,
            lacking = lacking.join(" "),
            "the bridge's client in OpenCRVS lacks scopes: delete it there (Integrations) and restart the events service, so \
             that it is registered again with them"
        ),
        Err(fault) if fault.is_transient() => {
            tracing::warn!(client, error = %fault, "the bridge's client is not registered yet: OpenCRVS tries again");
        }
        Err(fault) => tracing::error!(client, error = %fault, "the bridge's client is not registered"),
    }
    registered.map(drop)
}

async fn try_to_register(
    front: &Front,
    registrar: &Registrar,
    headers: &HeaderMap,
) -> Result<Registered, NotRegistered> {
    let token = front.keys.verify_bootstrap(bearer(headers)?).await?;
    Ok(registrar.integrations.ensure(&token.raw, &registrar.client).await?)
}

/// The country's answer, unless it would keep core from trying again.
async fn through(
    country: &Passthrough,
    request: Request,
    registered: &Result<(), NotRegistered>,
) -> Response {
    let response = country.proxy(request).await;
    match registered {
        Err(fault) if fault.is_transient() && ends_the_repeats(response.status()) => later(fault),
        Ok(()) | Err(_) => response,
    }
}

/// Whether core stops calling after an answer with this status.
fn ends_the_repeats(status: StatusCode) -> bool {
    status.is_success() || [StatusCode::NOT_FOUND, StatusCode::NOT_IMPLEMENTED].contains(&status)
}

fn alone(registered: &Result<(), NotRegistered>) -> Response {
    match registered {
        Err(fault) if fault.is_transient() => later(fault),
        Err(fault @ NotRegistered::Token(_)) => boom(StatusCode::UNAUTHORIZED, &fault.to_string()),
        Ok(()) | Err(_) => StatusCode::OK.into_response(),
    }
}

fn later(fault: &NotRegistered) -> Response {
    boom(StatusCode::SERVICE_UNAVAILABLE, &fault.to_string())
}
