//! Token exchange: trades a valid token for a new record token with a full lifetime (auth of
//! 1.7–2.0).
//!
//! Auth takes the token in the query string, so the URL of such a request is a secret. An expired
//! token cannot be exchanged.
//!
//! Source: `auth` of opencrvs-core, v1.7.0–v2.0.0.
//!
//! Invariant: a fault contains neither a URL nor a text from auth; a new token is accepted only
//! after it is verified, and only if it is for the requested record (and action).

use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::call::{CallFault, ClientSettings, HttpClient, Response, send};
use super::keys::KeyStore;
use super::token::{RecordToken, TokenFault, VerifiedToken};
use crate::domain::{ActionId, RecordId};

const GRANT: &str = "urn:opencrvs:oauth:grant-type:token-exchange";
const SUBJECT: &str = "urn:ietf:params:oauth:token-type:access_token";
const WANTED: &str = "urn:opencrvs:oauth:token-type:single_record_token";

/// Why a token could not be exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenewalFault {
    #[error("auth did not answer the token exchange: check AUTH_URL and that auth is up")]
    Unavailable,
    #[error("auth refuses to renew the token: it has expired, or auth's key was changed")]
    Refused,
    #[error(
        "auth does not know the token exchange (HTTP {0}): OpenCRVS 1.7 to 2.0 has it; from 2.1 on the bridge's client answers instead"
    )]
    Unsupported(u16),
    #[error("auth's answer to the token exchange holds no token: check AUTH_URL")]
    Unreadable,
    /// The new token is not valid, or is for another record or action.
    #[error("auth's new token cannot be used: {0}")]
    Unusable(#[source] TokenFault),
}

impl RenewalFault {
    /// Whether a later exchange of the same token may succeed without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable | Self::Unreadable | Self::Unusable(TokenFault::NoKey) => true,
            Self::Refused | Self::Unsupported(_) | Self::Unusable(_) => false,
        }
    }
}

/// Client of auth's token exchange.
#[derive(Debug, Clone)]
pub struct TokenExchange {
    client: HttpClient,
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
}

impl TokenExchange {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(auth: &ClientSettings) -> Result<Self, reqwest::Error> {
        Ok(Self { client: HttpClient::new(auth)? })
    }

    /// Exchanges a token for a new one for this record (and this action, in the events generation),
    /// and verifies the new one.
    ///
    /// # Errors
    /// [`RenewalFault`]; the old token is not affected.
    pub async fn renew(
        &self,
        keys: &KeyStore,
        record: &RecordId,
        action: Option<&ActionId>,
        token: &SecretString,
    ) -> Result<RecordToken, RenewalFault> {
        let fresh = self.exchange(record, action, token).await?;
        let fresh = keys.verify(fresh.expose_secret()).await.map_err(RenewalFault::Unusable)?;
        let VerifiedToken::Record(fresh) = fresh else {
            return Err(RenewalFault::Unusable(TokenFault::Scope));
        };
        if fresh.record == *record && fresh.action.as_ref() == action {
            Ok(fresh)
        } else {
            Err(RenewalFault::Unusable(TokenFault::OtherRecord))
        }
    }

    async fn exchange(
        &self,
        record: &RecordId,
        action: Option<&ActionId>,
        token: &SecretString,
    ) -> Result<SecretString, RenewalFault> {
        let mut query = vec![
            ("grant_type", GRANT),
            ("subject_token", token.expose_secret()),
            ("subject_token_type", SUBJECT),
            ("requested_token_type", WANTED),
        ];
        match action {
            None => query.push(("record_id", record.as_str())),
            Some(action) => query.extend([("event_id", record.as_str()), ("action_id", action.as_str())]),
        }
        // The error of the HTTP client is dropped, because it quotes the URL, which contains the
        // token.
        let sent = send(self.client.post("token").query(&query)).await;
        let response = sent.map_err(|_| RenewalFault::Unavailable)?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RenewalFault::Refused),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(RenewalFault::Unavailable),
            status if status.is_server_error() => Err(RenewalFault::Unavailable),
            status if !status.is_success() => Err(RenewalFault::Unsupported(status.as_u16())),
            _ => access_token(response).await,
        }
    }
}

async fn access_token(response: Response) -> Result<SecretString, RenewalFault> {
    let body = response.body().await.map_err(|fault| match fault {
        CallFault::TooLong => RenewalFault::Unreadable,
        CallFault::NotSent | CallFault::NoTls | CallFault::TimedOut | CallFault::BrokenOff => {
            RenewalFault::Unavailable
        }
    })?;
    let TokenResponse { access_token } =
        serde_json::from_slice(&body).map_err(|_| RenewalFault::Unreadable)?;
    Ok(SecretString::from(access_token))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::opencrvs::bare_server::server;
    use crate::opencrvs::keys::tests::{SigningKey, store};

    fn granted(token: &str) -> (u16, String) {
        (200, json!({ "access_token": token }).to_string())
    }

    #[tokio::test]
    async fn a_new_token_is_accepted_only_for_the_same_record_and_action() {
        let key = SigningKey::generate();
        let record = RecordId::parse("r").unwrap();
        let keys = store(&server(&[(200, key.pem.clone())]).await, Duration::from_millis(1), None);
        let of_record = key.token(&json!({ "recordId": "r" }));
        let of_action = key.token(&json!({ "eventId": "r", "actionId": "a" }));
        let of_other = key.token(&json!({ "recordId": "s" }));
        let service = key.token(&json!({ "scope": null, "sub": "core" }));
        let action = ActionId::parse("a").unwrap();
        let other = Some(RenewalFault::Unusable(TokenFault::OtherRecord));
        for (token, action, fault) in [
            (&of_record, None, None),
            (&of_action, Some(&action), None),
            (&of_record, Some(&action), other),
            (&of_action, None, other),
            (&of_other, None, other),
            (&service, None, Some(RenewalFault::Unusable(TokenFault::Scope))),
        ] {
            let auth = server(&[granted(token)]).await;
            let exchange = TokenExchange::new(&auth.settings()).unwrap();
            let renewed = exchange.renew(&keys, &record, action, &SecretString::from("old")).await;
            assert_eq!(renewed.as_ref().err().copied(), fault);
            if let Ok(renewed) = renewed {
                assert_eq!(renewed.raw.expose_secret(), token);
            }
            let subject = if action.is_some() { "event_id=r&action_id=a" } else { "record_id=r" };
            let request = auth.requests().remove(0);
            assert!(request.starts_with("POST /base/token?grant_type="), "{request}");
            assert!(request.contains("&subject_token=old&"), "{request}");
            assert!(request.contains(&format!("&{subject} HTTP/1.1")), "{request}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_told_apart_from_an_outage_and_from_a_release_without_the_exchange() {
        let keys = store(&server(&[(500, String::new())]).await, Duration::from_millis(1), None);
        for (status, body, fault, is_transient) in [
            (401, "{}", RenewalFault::Refused, false),
            (403, "{}", RenewalFault::Refused, false),
            (408, "{}", RenewalFault::Unavailable, true),
            (429, "{}", RenewalFault::Unavailable, true),
            (502, "{}", RenewalFault::Unavailable, true),
            (404, "{}", RenewalFault::Unsupported(404), false),
            (200, "{}", RenewalFault::Unreadable, true),
            (200, r#"{"access_token":"x"}"#, RenewalFault::Unusable(TokenFault::Garbage), false),
        ] {
            let auth = server(&[(status, body.to_owned())]).await;
            let exchange = TokenExchange::new(&auth.settings()).unwrap();
            let record = RecordId::parse("r").unwrap();
            let found = exchange.renew(&keys, &record, None, &SecretString::from("old")).await.unwrap_err();
            assert_eq!((found, found.is_transient()), (fault, is_transient), "{status} {body}");
        }
        assert!(RenewalFault::Unusable(TokenFault::NoKey).is_transient());
    }
}
