//! Finds out who calls the events service: checks the token in the `Authorization` header.
//!
//! Wire source: `opencrvs-2.1.md` §0, §1, §8.

use axum::http::{HeaderMap, header};
use serde::Serialize;

use super::confirm::Refused;
use crate::sandbox::opencrvs::core::Core;
use crate::sandbox::opencrvs::keys::{Claims, TokenHash, UserType};

/// The kind of token that a call carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// No token, or one that auth did not sign for this service.
    None,
    /// A token for one action, from a trigger of 1.9 or 2.0 or from the token exchange.
    ActionToken,
    /// The token of a system client.
    Client,
    /// A user's own token.
    User,
    /// Core's own token: the service token on a trigger of 2.1, or the bootstrap token.
    Service,
}

#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) claims: Claims,
    pub(super) credential: Credential,
    pub(super) token: TokenHash,
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Checks the token of a call for this audience (without the prefix `opencrvs:`) and counts the
/// call.
pub(super) fn admit(
    core: &Core,
    headers: &HeaderMap,
    audience: &str,
    procedure: &str,
) -> Result<Caller, Refused> {
    let verified = bearer(headers)
        .and_then(|token| Some((token, core.with_key(|key| key.verify(token, audience))?)))
        .filter(|(_, claims)| !core.faults.is_deactivated(&claims.sub));
    let credential = verified.as_ref().map_or(Credential::None, |(_, claims)| credential_of(core, claims));
    core.events.count_call(procedure, credential);
    let (token, claims) = verified.ok_or(Refused::UNAUTHENTICATED)?;
    let caller = Caller { claims, credential, token: TokenHash::of(token) };
    let release = core.release_of(caller.claims.event_id.as_deref().unwrap_or_default());
    core.events.with(|state| match credential {
        Credential::ActionToken if !release.has_action_tokens() => {
            let is_unauthorized = state.behaviour.stale_token_status == 401;
            Err(if is_unauthorized { Refused::UNAUTHENTICATED } else { Refused::FORBIDDEN })
        }
        Credential::Client if state.clients.get(&caller.claims.sub).is_none() => Err(Refused::UNKNOWN),
        Credential::Client if state.clients.is_dead(&caller.token, state.behaviour.rotation_kills_tokens) => {
            Err(Refused::UNKNOWN)
        }
        Credential::None
        | Credential::ActionToken
        | Credential::Client
        | Credential::User
        | Credential::Service => Ok(caller),
    })
}

fn credential_of(core: &Core, claims: &Claims) -> Credential {
    if claims.action_id.is_some() {
        return Credential::ActionToken;
    }
    let is_service = claims.sub == core.events.with(|state| state.behaviour.service_subject.clone());
    match claims.user_type {
        Some(UserType::System) if is_service || claims.is_bootstrap() => Credential::Service,
        Some(UserType::System) => Credential::Client,
        Some(UserType::User) | None => Credential::User,
    }
}
