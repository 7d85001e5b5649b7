//! Properties of every bearer token: of the text itself, and of claims that auth has signed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::DecodingKey;
use nidbridge::inlets::opencrvs::trigger_token;
use nidbridge::opencrvs::{TokenFault, VerifiedToken};
use secrecy::ExposeSecret as _;

/// `sub` of the service token of OpenCRVS 2.1.
pub const SERVICE_USER: &str = "__SERVICE_USER__";

/// A signing key like auth's.
pub struct Auth {
    signs: KeyPair,
    checks: DecodingKey,
}

impl Auth {
    pub fn new() -> Self {
        let signs = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let checks = DecodingKey::from_rsa_der(signs.public_key().as_ref());
        Self { signs, checks }
    }

    /// Signs a token whose claims are these bytes.
    pub fn token(&self, claims: &[u8]) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", part(br#"{"alg":"RS256","typ":"JWT"}"#), part(claims));
        let mut signature = vec![0; self.signs.public_modulus_len()];
        let random = SystemRandom::new();
        self.signs.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("a signature");
        format!("{signed}.{}", part(&signature))
    }

    /// Reads the bytes as the front does, both as a token and as the claims of one.
    pub fn check(&self, input: &[u8]) -> Result<VerifiedToken, TokenFault> {
        if let Ok(text) = std::str::from_utf8(input) {
            assert!(self.judge(text).is_err(), "nobody but auth signs");
        }
        self.judge(&self.token(input))
    }

    pub fn judge(&self, text: &str) -> Result<VerifiedToken, TokenFault> {
        let read = trigger_token(text, &self.checks, &[SERVICE_USER.to_owned()]);
        match &read {
            Ok(VerifiedToken::Record(token)) => {
                assert_eq!(token.raw.expose_secret(), text);
                assert!(!format!("{token:?}").contains(text), "a token is never shown");
                assert!(token.expires_at > Timestamp::now() - std::time::Duration::from_secs(5));
            }
            Ok(VerifiedToken::Service(token)) => assert!(!format!("{token:?}").contains(text)),
            Err(fault) => assert!(format!("{fault} {fault:?}").len() < 256),
        }
        read
    }
}
