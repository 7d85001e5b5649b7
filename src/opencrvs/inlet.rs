//! Reads tokens and answers of OpenCRVS without a socket; see [`crate::inlets`].

use std::time::Duration;

use jsonwebtoken::DecodingKey;
use reqwest::StatusCode;
use serde_json::Value;

use super::{GatewayFault, RecordToken, Seen, TokenFault, gateway, token};

/// A record token as it came in the `Authorization` header.
///
/// # Errors
/// [`TokenFault`].
pub fn record_token(text: &str, key: &DecodingKey) -> Result<RecordToken, TokenFault> {
    token::plausible(text)?;
    token::verify(text, key)
}

/// An answer of the gateway; `None` for a status that HTTP does not have.
pub fn answer(
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Option<Result<Value, GatewayFault>> {
    Some(gateway::answered(StatusCode::from_u16(status).ok()?, retry_after, body))
}

/// Where a record stands, by the data of such an answer.
pub fn seen(data: &Value) -> Option<Seen> {
    gateway::seen(data)
}
