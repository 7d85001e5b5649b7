//! The operator's webhook: one POST per alert, signed if there is a secret.
//!
//! Invariant: a fault contains neither the URL, which may itself be a secret, nor the body of the
//! webhook's answer.

use std::time::Duration;

use aws_lc_rs::hmac;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};

/// Header with the alert's id, an idempotency key.
const ID: &str = "x-nidbridge-alert";
/// Header with `sha256=` and the HMAC-SHA256 of the body in hexadecimal.
const SIGNATURE: &str = "x-nidbridge-signature";

/// Why an alert was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookFault {
    /// No connection, no complete answer, or a timeout.
    #[error("the webhook did not answer: check ALERT_WEBHOOK and that it is up")]
    Away,
    /// An answer other than 2xx.
    #[error("the webhook answered with HTTP {0}: it must answer with 2xx")]
    Status(u16),
}

/// HTTP client of the webhook.
#[derive(Debug, Clone)]
pub struct Webhook {
    http: reqwest::Client,
    url: SecretString,
    secret: Option<SecretString>,
}

impl Webhook {
    /// `proxy` is the URL of an HTTP proxy. No other proxy is used, whatever the environment says.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(
        url: SecretString,
        secret: Option<SecretString>,
        timeout: Duration,
        proxy: Option<&SecretString>,
    ) -> Result<Self, reqwest::Error> {
        let mut http = reqwest::Client::builder().no_proxy();
        if let Some(proxy) = proxy {
            http = http.proxy(reqwest::Proxy::all(proxy.expose_secret())?);
        }
        let http = http
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("nidbridge/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, url, secret })
    }

    /// Posts the body of the alert `id`.
    ///
    /// # Errors
    /// [`WebhookFault`]: the alert must be sent again.
    pub async fn call(&self, body: &[u8], id: &str) -> Result<(), WebhookFault> {
        let mut request = self
            .http
            .post(self.url.expose_secret())
            .header(CONTENT_TYPE, "application/json")
            .header(ID, id)
            .body(body.to_vec());
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE, signature(secret, body));
        }
        // The error is dropped, not wrapped: reqwest's errors quote the URL.
        let answer = request.send().await.map_err(|_| WebhookFault::Away)?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(WebhookFault::Status(status.as_u16())),
        }
    }
}

fn signature(secret: &SecretString, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let tag = hmac::sign(&key, body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_others_compute_too() {
        // RFC 4231, test case 2
        let signed = signature(&SecretString::from("Jefe"), b"what do ya want for nothing?");
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signed, format!("sha256={known}"));
    }

    #[tokio::test]
    async fn a_fault_does_not_show_the_url() {
        let url = SecretString::from("http://127.0.0.1:1/hooks/Sesame");
        let webhook =
            Webhook::new(url, Some(SecretString::from("Sesame")), Duration::from_secs(5), None).unwrap();
        let fault = webhook.call(b"{}", "1").await.unwrap_err();
        let shown = format!("{fault} {fault:?} {webhook:?}");
        assert!(!shown.contains("Sesame") && fault == WebhookFault::Away, "{shown}");
    }
}
