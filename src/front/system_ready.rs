//! Registers the bridge's system client when OpenCRVS starts: `GET /trigger/system/ready` (2.1) or
//! `/triggers/system/ready` (2.0).
//!
//! Core makes this call up to ten times, with a new bootstrap token each time, until the response
//! is 2xx, 404 or 501. Each call times out after 5 s. The bridge registers its own client, for at
//! most [`REGISTRATION_TIMEOUT`], and then proxies the call unchanged to the country config, so
//! that the country can register its clients too. Without a country config the bridge responds by
//! itself.
//!
//! | The bridge's client | Status with a country config | Status without |
//! |---|---|---|
//! | is registered, now or before | that of the country config | 200 |
//! | may be registered by a later call | the same, but 503 for 2xx, 404 and 501 | 503 |
//! | needs an operator (name or id is taken) | that of the country config | 200 |
//! | was not tried: the token is not core's | that of the country config | 401 |
//!
//! A 503 makes core call again; a 200 does not, because the next call would fail in the same way.
//!
//! Invariant: nothing is registered before the bootstrap token is verified. No record depends on
//! this call, so no response to it leaves a record waiting.

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

/// Leaves more than half of core's 5 s to the country config.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(2);

/// Registers the bridge's client.
#[derive(Debug)]
pub struct ClientRegistration {
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
        "registering the bridge's client took longer than {REGISTRATION_TIMEOUT:?}: check AUTH_URL and \
         OPENCRVS_EVENTS_URL"
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

/// Registers the client, and responds to the call.
pub(super) async fn answer(front: &Front, registration: &ClientRegistration, request: Request) -> Response {
    let registering = register(front, registration, request.headers());
    let registered = match timeout(REGISTRATION_TIMEOUT, registering).await {
        Ok(registered) => registered,
        Err(_) => Err(NotRegistered::Slow),
    };
    let label = registered.as_ref().map_or_else(NotRegistered::label, |()| "registered");
    front.metrics.front_request("client", label);
    match &front.passthrough {
        Some(country) => proxied(country, request, &registered).await,
        None => unproxied(&registered),
    }
}

async fn register(
    front: &Front,
    registration: &ClientRegistration,
    headers: &HeaderMap,
) -> Result<(), NotRegistered> {
    let registered = try_to_register(front, registration, headers).await;
    let client = registration.client.name.as_str();
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
            tracing::warn!(client, error = %fault, "the bridge's client is not registered yet: OpenCRVS calls again");
        }
        Err(fault) => tracing::error!(client, error = %fault, "the bridge's client is not registered"),
    }
    registered.map(drop)
}

async fn try_to_register(
    front: &Front,
    registration: &ClientRegistration,
    headers: &HeaderMap,
) -> Result<Registered, NotRegistered> {
    let token = front.keys.verify_bootstrap(bearer(headers)?).await?;
    Ok(registration.integrations.ensure(&token.raw, &registration.client).await?)
}

/// The response of the country config, or 503 if it would keep core from calling again although a
/// later call may register the client.
async fn proxied(
    country: &Passthrough,
    request: Request,
    registered: &Result<(), NotRegistered>,
) -> Response {
    let response = country.proxy(request).await;
    match registered {
        Err(fault) if fault.is_transient() && ends_the_calls(response.status()) => later(fault),
        Ok(()) | Err(_) => response,
    }
}

/// Whether core stops calling after a response with this status.
fn ends_the_calls(status: StatusCode) -> bool {
    status.is_success() || [StatusCode::NOT_FOUND, StatusCode::NOT_IMPLEMENTED].contains(&status)
}

fn unproxied(registered: &Result<(), NotRegistered>) -> Response {
    match registered {
        Err(fault) if fault.is_transient() => later(fault),
        Err(fault @ NotRegistered::Token(_)) => boom(StatusCode::UNAUTHORIZED, &fault.to_string()),
        Ok(()) | Err(_) => StatusCode::OK.into_response(),
    }
}

fn later(fault: &NotRegistered) -> Response {
    boom(StatusCode::SERVICE_UNAVAILABLE, &fault.to_string())
}
