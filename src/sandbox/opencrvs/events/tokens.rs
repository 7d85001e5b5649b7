//! The tokens that auth signs for the events generation of 2.x: of system clients, and of core
//! itself.
//!
//! Wire source: `opencrvs-2.1.md` §0, §2, §8.

use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;

use super::release::Release;
use crate::sandbox::opencrvs::core::Core;
use crate::sandbox::opencrvs::keys::{Claims, TokenHash};
use crate::sandbox::opencrvs::records::Records;

/// Why a client gets no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox::opencrvs) enum TokenRefusal {
    /// Id or secret are missing, or are in the query string of a release that refuses that.
    InvalidRequest,
    /// The client does not exist or is deactivated, or the secret is wrong.
    InvalidClient,
    /// No token can be signed.
    Failed,
}

impl Core {
    /// Gives a system client a token for its credentials.
    pub(in crate::sandbox::opencrvs) fn client_token(
        &self,
        id: &str,
        secret: &str,
        in_query: bool,
    ) -> Result<String, TokenRefusal> {
        let (claims, changes) = self.events.with(|state| {
            state.token_requests.asked += 1;
            state.token_requests.in_query += u64::from(in_query);
            let refuses_query =
                !state.release.has_action_tokens() && !state.behaviour.takes_query_credentials;
            if id.is_empty() || secret.is_empty() || (in_query && refuses_query) {
                return Err(TokenRefusal::InvalidRequest);
            }
            if in_query {
                tracing::error!("client credentials came in the query string");
            }
            let Some(client) = state.clients.authenticate(id, secret) else {
                state.token_requests.refused += 1;
                return Err(TokenRefusal::InvalidClient);
            };
            let lifetime = seconds(state.behaviour.client_token_lifetime);
            let claims = Claims::client(id, client.scopes.clone(), Timestamp::now(), lifetime);
            Ok((claims, client.changes))
        })?;
        let token = self.mint(&claims).map_err(|_| TokenRefusal::Failed)?;
        self.events.with(|state| {
            state.token_requests.given += 1;
            state.clients.give(id, changes, TokenHash::of(&token));
        });
        Ok(token)
    }

    /// The status with which the release of a record refuses a token exchange; `None` if it
    /// exchanges tokens.
    pub(in crate::sandbox::opencrvs) fn exchange_gone(&self, record: &str) -> Option<StatusCode> {
        let is_fhir = |records: &mut Records| records.record(record).is_some_and(|one| one.event.is_none());
        if self.with_records(is_fhir) || self.release_of(record).has_action_tokens() {
            return None;
        }
        let status = self.events.with(|state| state.behaviour.exchange_gone_status);
        StatusCode::from_u16(status).ok().or(Some(StatusCode::BAD_REQUEST))
    }

    /// The release by which calls about an event are judged: the simulator's own for an event that
    /// does not exist.
    pub(in crate::sandbox::opencrvs) fn release_of(&self, event: &str) -> Release {
        let submitted = self.with_records(|records| records.record(event)?.event.as_ref()?.release());
        self.events.release_since(submitted)
    }

    pub(in crate::sandbox::opencrvs) fn service_claims(&self) -> Claims {
        let behaviour = self.events.behaviour();
        let lifetime = seconds(behaviour.service_token_lifetime);
        let mut claims = Claims::service(&behaviour.service_subject, Timestamp::now(), lifetime);
        if behaviour.service_token_for_gateway {
            claims.aud.push("opencrvs:gateway-user".to_owned());
        }
        claims
    }
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}
