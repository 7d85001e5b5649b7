//! The bridge's own client in OpenCRVS (a "system client"; OpenCRVS calls it an integration), and
//! its access tokens.
//!
//! Source: create-a-client of the OpenCRVS documentation, and `auth` of opencrvs-core, 2.0–2.1.
//! The parameters go into the body of the request: auth refuses them in the query string.
//!
//! Invariant: at most one request for an access token is in flight, however many tasks wait for it.
//! No secret, token or URL appears in an error, a log line or a `Debug` text.

mod access;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::form_urlencoded;

pub use access::{AccessToken, Right};

use super::call::{CallFault, ClientSettings, CompleteResponse, HttpClient, send};
use super::fault::DEFAULT_RETRY_AFTER;
use crate::config::SecretSource;

/// Id and secrets of the client.
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    pub id: String,
    pub secret: SecretSource,
    /// Tried when OpenCRVS refuses the first secret.
    pub next_secret: Option<SecretSource>,
}

/// Why there is no access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    #[error("OpenCRVS did not return an access token: check GATEWAY_URL, and that its auth service is up")]
    Unavailable,
    #[error("OpenCRVS limits the requests for access tokens (HTTP 429): the bridge tries again later")]
    Throttled(Option<Duration>),
    #[error(
        "OpenCRVS refuses the client: check OPENCRVS_CLIENT_ID and OPENCRVS_CLIENT_SECRET, and that OpenCRVS knows the client and it is active"
    )]
    Refused,
    #[error("the client's secret cannot be read, or is empty: check OPENCRVS_CLIENT_SECRET_FILE")]
    NoSecret,
    #[error("OpenCRVS has no access tokens for clients (HTTP {0}): version 2.0 or newer is needed")]
    Unsupported(u16),
    /// The response is not from auth; it may be a login page.
    #[error("the response to the request for an access token has no token: check GATEWAY_URL")]
    NotAToken,
}

impl ClientFault {
    /// Whether the fault lasts until an operator acts.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::Refused | Self::NoSecret | Self::Unsupported(_) => true,
            Self::Unavailable | Self::Throttled(_) | Self::NotAToken => false,
        }
    }

    /// Time after a failed request during which no other is sent. Calls that arrived before the
    /// request share its result in any case.
    fn pause(self) -> Duration {
        match self {
            Self::Throttled(after) => after.unwrap_or(DEFAULT_RETRY_AFTER),
            Self::Unavailable | Self::Refused | Self::NoSecret | Self::Unsupported(_) | Self::NotAToken => {
                Duration::ZERO
            }
        }
    }
}

/// The client, with its current access token. Clones share the token.
#[derive(Clone)]
pub struct SystemClient(Arc<Inner>);

struct Inner {
    http: HttpClient,
    credentials: ClientCredentials,
    /// Locked while a request is in flight.
    last: Mutex<Option<LastFetch>>,
}

struct LastFetch {
    begun: Instant,
    result: Result<AccessToken, ClientFault>,
}

impl LastFetch {
    /// What a call that arrived at this time gets without another request. `None` if it has to send
    /// one.
    fn current(&self, arrived: Instant) -> Option<Result<AccessToken, ClientFault>> {
        let is_current = match &self.result {
            Ok(token) => token.is_fresh(arrived),
            Err(fault) => self.begun + fault.pause() > arrived,
        };
        is_current.then(|| self.result.clone())
    }
}

impl fmt::Debug for SystemClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemClient").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
}

#[derive(Deserialize)]
struct ErrorResponse {
    error: String,
}

impl SystemClient {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(gateway: &ClientSettings, credentials: ClientCredentials) -> Result<Self, reqwest::Error> {
        let http = HttpClient::new(gateway)?;
        Ok(Self(Arc::new(Inner { http, credentials, last: Mutex::new(None) })))
    }

    /// The current access token. Fetches one if there is none, or if it expires soon.
    ///
    /// # Errors
    /// [`ClientFault`]. Calls that waited for the same failed request share its fault.
    pub async fn access_token(&self) -> Result<AccessToken, ClientFault> {
        let arrived = Instant::now();
        let mut last = self.0.last.lock().await;
        if let Some(current) = last.as_ref().and_then(|last| last.current(arrived)) {
            return current;
        }
        let begun = Instant::now();
        let result = self.fetch().await;
        if let Err(fault) = &result {
            tracing::warn!(error = %fault, "no access token could be fetched for the client");
        }
        *last = Some(LastFetch { begun, result: result.clone() });
        result
    }

    /// Forgets an access token that OpenCRVS refused (401), so that the next call fetches a new
    /// one. Does nothing if the current token is another one.
    pub async fn refused(&self, token: &AccessToken) {
        let mut last = self.0.last.lock().await;
        if matches!(last.as_ref(), Some(LastFetch { result: Ok(known), .. }) if known.is_same(token)) {
            *last = None;
        }
    }

    async fn fetch(&self) -> Result<AccessToken, ClientFault> {
        let credentials = &self.0.credentials;
        let mut fault = ClientFault::NoSecret;
        for source in std::iter::once(&credentials.secret).chain(&credentials.next_secret) {
            let Ok(secret) = source.read().await else { continue };
            match self.request(&secret).await {
                Err(ClientFault::Refused) => fault = ClientFault::Refused,
                result => return result,
            }
        }
        Err(fault)
    }

    async fn request(&self, secret: &SecretString) -> Result<AccessToken, ClientFault> {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.0.credentials.id)
            .append_pair("client_secret", secret.expose_secret())
            .finish();
        let request = self.0.http.post("auth/token");
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        read(&send(request).await?.complete().await?)
    }
}

fn read(response: &CompleteResponse) -> Result<AccessToken, ClientFault> {
    let status = response.status;
    if status.is_success() {
        let body: TokenResponse =
            serde_json::from_slice(&response.body).map_err(|_| ClientFault::NotAToken)?;
        return AccessToken::read(body.access_token).ok_or(ClientFault::NotAToken);
    }
    let error = serde_json::from_slice::<ErrorResponse>(&response.body).ok().map(|body| body.error);
    Err(match (status, error.as_deref()) {
        (StatusCode::UNAUTHORIZED, _) | (StatusCode::BAD_REQUEST, Some("invalid_client")) => {
            ClientFault::Refused
        }
        (StatusCode::TOO_MANY_REQUESTS, _) => ClientFault::Throttled(response.retry_after),
        (status, _) if status.is_server_error() || status.is_redirection() => ClientFault::Unavailable,
        // A reverse proxy answers like this while its backend is not up yet.
        (StatusCode::NOT_FOUND, None) => ClientFault::Unavailable,
        (status, _) => ClientFault::Unsupported(status.as_u16()),
    })
}

impl From<CallFault> for ClientFault {
    fn from(fault: CallFault) -> Self {
        match fault {
            CallFault::NotSent | CallFault::NoTls | CallFault::TimedOut | CallFault::BrokenOff => {
                Self::Unavailable
            }
            CallFault::TooLong => Self::NotAToken,
        }
    }
}

#[cfg(test)]
mod tests;
