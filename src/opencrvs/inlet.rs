//! Reads tokens and responses of OpenCRVS without a socket, for the fuzzers and their tests.

use std::time::Duration;

use jsonwebtoken::DecodingKey;
use reqwest::StatusCode;
use serde_json::Value;

use super::call::CompleteResponse;
use super::fhir::{self, FetchedRecord};
use super::{OpencrvsFault, TokenFault, VerifiedToken, token};

/// Verifies a token from an `Authorization` header, given without the word `Bearer`.
///
/// # Errors
/// [`TokenFault`].
pub fn trigger_token(
    text: &str,
    key: &DecodingKey,
    service_users: &[String],
) -> Result<VerifiedToken, TokenFault> {
    token::plausible(text)?;
    token::verify(text, key, service_users)
}

/// Reads the `data` of a GraphQL response. Returns `None` if `status` is not an HTTP status code.
pub fn answer(
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Option<Result<Value, OpencrvsFault>> {
    let status = StatusCode::from_u16(status).ok()?;
    Some(fhir::graphql::data_of(&CompleteResponse { status, retry_after, body: body.to_vec() }))
}

/// Reads the state of a record from the `data` of a GraphQL response.
pub fn seen(data: &Value) -> Option<FetchedRecord> {
    fhir::gateway::fetched_record(data)
}
