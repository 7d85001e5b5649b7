//! Token exchange: a record token that is still good gets a successor with a full life (auth of 1.7–2.0).
//!
//! Auth takes the token in the query string, so the URL of such a request is itself a secret, and a token that has died
//! cannot be renewed any more.
//!
//! Invariant: no URL and no answer of auth is in a fault; a successor counts only once it is verified, and only for the
//! record that it was asked for.

use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::{ClientSettings, KeyStore, RecordToken, TokenFault, Unwhole, client, whole};
use crate::domain::{ActionId, RecordId};

const GRANT: &str = "urn:opencrvs:oauth:grant-type:token-exchange";
const SUBJECT: &str = "urn:ietf:params:oauth:token-type:access_token";
const WANTED: &str = "urn:opencrvs:oauth:token-type:single_record_token";

/// Why a token has no successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenewalFault {
    /// Auth is away, slow or in trouble.
    #[error("auth did not answer the token exchange: check AUTH_URL and that auth is up")]
    Away,
    /// The token has expired, or is signed with a key that auth has no more.
    #[error("auth refuses to renew the token: it has expired, or auth's key was changed")]
    Refused,
    /// Auth does not know this exchange.
    #[error("auth does not know the token exchange (HTTP {0}): OpenCRVS 1.7 or newer is needed")]
    Unsupported(u16),
    /// An answer that holds no token.
    #[error("auth's answer to the token exchange holds no token")]
    Unreadable,
    /// A token that could not answer for anything.
    #[error("auth's new token cannot be used: {0}")]
    Unusable(#[source] TokenFault),
}

impl RenewalFault {
    /// Whether the same token may still be renewed later, without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Away | Self::Unreadable | Self::Unusable(TokenFault::NoKey) => true,
            Self::Refused | Self::Unsupported(_) | Self::Unusable(_) => false,
        }
    }
}

/// A client of auth's token exchange.
#[derive(Debug, Clone)]
pub struct TokenExchange {
    http: reqwest::Client,
    url: Url,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
}

impl TokenExchange {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(auth: &ClientSettings) -> Result<Self, reqwest::Error> {
        let mut url = auth.url.clone();
        url.set_path(&format!("{}/token", auth.url.path().trim_end_matches('/')));
        Ok(Self { http: client(auth)?, url })
    }

    /// Exchanges a token for a fresh one of this record (of this action of it, in the events generation), and verifies
    /// that.
    ///
    /// # Errors
    /// [`RenewalFault`]; the old token is as good as it was before.
    pub async fn renew(
        &self,
        keys: &KeyStore,
        record: &RecordId,
        action: Option<&ActionId>,
        token: &SecretString,
    ) -> Result<RecordToken, RenewalFault> {
        let fresh = self.exchange(record, action, token).await?;
        let fresh = keys.verify(fresh.expose_secret()).await.map_err(RenewalFault::Unusable)?;
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
        // What went wrong is dropped, not wrapped: reqwest's errors quote the URL.
        let answer = self.http.post(self.url.clone()).query(&query).send().await;
        let answer = answer.map_err(|_| RenewalFault::Away)?;
        match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RenewalFault::Refused),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(RenewalFault::Away),
            status if status.is_server_error() => Err(RenewalFault::Away),
            status if !status.is_success() => Err(RenewalFault::Unsupported(status.as_u16())),
            _ => {
                let body = whole(answer).await.map_err(|why| match why {
                    Unwhole::BrokenOff => RenewalFault::Away,
                    Unwhole::TooLong => RenewalFault::Unreadable,
                })?;
                let answer: Answer = serde_json::from_slice(&body).map_err(|_| RenewalFault::Unreadable)?;
                Ok(SecretString::from(answer.access_token))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::opencrvs::KeyStoreSettings;
    use crate::sandbox::opencrvs::{Calls, Claims, Fault, OpencrvsSettings, OpencrvsSim};

    struct Ground {
        sim: OpencrvsSim,
        keys: KeyStore,
        exchange: TokenExchange,
        record: RecordId,
    }

    impl Ground {
        async fn new() -> Self {
            let sim = OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap();
            let auth = ClientSettings {
                url: Url::parse(&sim.auth_url()).unwrap(),
                timeout: Duration::from_secs(5),
                connect_timeout: Duration::from_secs(1),
            };
            let exchange = TokenExchange::new(&auth).unwrap();
            let keys =
                KeyStore::new(KeyStoreSettings { auth, refetch: Duration::from_millis(10), cache: None });
            Self { sim, keys: keys.unwrap(), exchange, record: RecordId::parse("record-1").unwrap() }
        }

        /// The record's token with so many seconds to live.
        fn token(&self, left_s: i64) -> SecretString {
            let claims = self.sim.record_claims(self.record.as_str());
            SecretString::from(self.sim.mint(&Claims { exp: claims.iat + left_s, ..claims }).unwrap())
        }

        async fn renew(&self, token: &SecretString) -> Result<RecordToken, RenewalFault> {
            let renewed = self.exchange.renew(&self.keys, &self.record, None, token).await;
            if let Err(fault) = &renewed {
                let told = format!("{fault} {fault:?}");
                assert!(!told.contains(token.expose_secret()) && !told.contains("http:"), "{told}");
            }
            renewed
        }
    }

    #[tokio::test]
    async fn a_token_that_is_about_to_die_gets_a_successor_for_its_record() {
        let ground = Ground::new().await;
        let old = ground.token(60);
        let died = ground.keys.verify(old.expose_secret()).await.unwrap().expires_at;
        let fresh = ground.renew(&old).await.unwrap();
        assert_eq!(fresh.record, ground.record);
        assert!(fresh.expires_at > died);
        assert_eq!(ground.renew(&fresh.raw).await.unwrap().record, ground.record);
    }

    #[tokio::test]
    async fn a_token_that_is_dead_or_of_another_key_is_not_renewed() {
        let ground = Ground::new().await;
        assert_eq!(ground.renew(&ground.token(-5)).await.unwrap_err(), RenewalFault::Refused);
        assert_eq!(ground.renew(&SecretString::from("no.to.ken")).await.unwrap_err(), RenewalFault::Refused);
        let old = ground.token(60);
        ground.sim.rotate_key().unwrap();
        let fault = ground.renew(&old).await.unwrap_err();
        assert!(!fault.is_transient() && fault == RenewalFault::Refused, "{fault}");
    }

    #[tokio::test]
    async fn an_auth_in_trouble_is_asked_again_later() {
        let ground = Ground::new().await;
        let old = ground.token(60);
        for (fault, expected) in [
            (Fault::Http(503), RenewalFault::Away),
            (Fault::CutBefore, RenewalFault::Away),
            (Fault::NotJson, RenewalFault::Unreadable),
            (Fault::Http(404), RenewalFault::Unsupported(404)),
            (Fault::Unauthorized, RenewalFault::Refused),
        ] {
            ground.sim.faults().next(Calls::Exchange, 1, fault);
            let told = ground.renew(&old).await.unwrap_err();
            assert_eq!(told, expected);
            let passes = matches!(told, RenewalFault::Away | RenewalFault::Unreadable);
            assert_eq!(told.is_transient(), passes, "{told}");
        }
        assert!(ground.renew(&old).await.is_ok());
    }

    #[tokio::test]
    async fn a_token_of_an_action_has_a_successor_of_the_same_action() {
        let ground = Ground::new().await;
        let claims = ground.sim.action_claims("record-1", "action-1");
        let old = SecretString::from(ground.sim.mint(&Claims { exp: claims.iat + 60, ..claims }).unwrap());
        let action = ActionId::parse("action-1").unwrap();
        let renewed = ground.exchange.renew(&ground.keys, &ground.record, Some(&action), &old).await.unwrap();
        assert_eq!((renewed.action.as_ref(), &renewed.record), (Some(&action), &ground.record));
        let died = ground.keys.verify(old.expose_secret()).await.unwrap().expires_at;
        assert!(renewed.expires_at > died);
        // A user's own token makes one as well, but only if the action is named.
        let user = SecretString::from(ground.sim.user_token("user-1", &[]).unwrap());
        let made = ground.exchange.renew(&ground.keys, &ground.record, Some(&action), &user).await.unwrap();
        assert_eq!(made.action, Some(action));
    }
}
