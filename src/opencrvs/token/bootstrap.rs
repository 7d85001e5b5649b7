//! The bootstrap token, with which OpenCRVS core lets the country register its system clients
//! (2.0.1 and newer). It is valid for 60 s.
//!
//! Source: `packages/auth` of opencrvs-core (integration creator token).
//!
//! Invariant: a token is accepted only if auth signed it for the country's configuration service
//! and it may create integrations. Its `sub` differs between releases and proves nothing.

use jsonwebtoken::DecodingKey;
use secrecy::SecretString;
use serde::Deserialize;

use super::claims::Scope;
use super::{TokenFault, verified_claims};

const SCOPE: &str = "integration.create";

#[derive(Debug, Clone)]
pub struct BootstrapToken {
    pub raw: SecretString,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    scope: Option<Scope>,
}

/// Verifies signature, expiry, issuer, audience and scope.
pub(in crate::opencrvs) fn verify_bootstrap(
    token: &str,
    key: &DecodingKey,
) -> Result<BootstrapToken, TokenFault> {
    let claims: Claims = verified_claims(token, key)?;
    if claims.scope.is_some_and(|scope| scope.allows(SCOPE)) {
        Ok(BootstrapToken { raw: SecretString::from(token) })
    } else {
        Err(TokenFault::NotBootstrap)
    }
}
