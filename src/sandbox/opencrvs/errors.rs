//! The errors of OpenCRVS in its own words, one constant for each.
//!
//! GraphQL answers HTTP 200 with the error in the body, unless the document cannot be run. tRPC and
//! auth answer with an HTTP status.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::graphql::Operation;
use crate::sandbox::json::with;

/// One error, as both generations answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRow {
    /// `extensions.code` of the GraphQL error.
    code: &'static str,
    /// Message of the GraphQL error. `{id}` stands for the record.
    message: &'static str,
    /// HTTP status and message of the events generation for the same error.
    pub(super) trpc: (StatusCode, &'static str),
}

const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
const INTERNAL: &str = "INTERNAL_SERVER_ERROR";
const HIDDEN: (StatusCode, &str) = (StatusCode::INTERNAL_SERVER_ERROR, "Internal server error");
const REFUSED: (StatusCode, &str) = (StatusCode::UNAUTHORIZED, "Missing authentication");
const FORBIDDEN: (StatusCode, &str) = (StatusCode::FORBIDDEN, "FORBIDDEN");
/// Stands for zod's list of what is wrong with the input.
const INVALID: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "[]");

impl ErrorRow {
    pub(super) const UNAUTHORIZED: Self = Self::new(UNAUTHENTICATED, "Unauthorized", REFUSED);
    pub(super) const AUTHENTICATION_FAILED: Self =
        Self::new(UNAUTHENTICATED, "Authentication failed", REFUSED);
    pub(super) const USER_MANAGEMENT_DOWN: Self = Self::new(
        UNAUTHENTICATED,
        "request to http://user-mgnt:3030/getUser failed, reason: connect ECONNREFUSED",
        HIDDEN,
    );
    pub(super) const NO_CONFIRM_SCOPE: Self =
        Self::new(INTERNAL, "User does not have a Confirm Registration scope", FORBIDDEN);
    pub(super) const NO_REJECT_SCOPE: Self =
        Self::new(INTERNAL, "User does not have a Reject Registration scope", FORBIDDEN);
    pub(super) const OTHER_RECORD: Self =
        Self::new(INTERNAL, "User does not have access to the record", FORBIDDEN);
    pub(super) const CONFIRM_FAILED: Self =
        Self::new(INTERNAL, "Failed to confirm registration: Internal Server Error", HIDDEN);
    pub(super) const WORKFLOW_UNREACHABLE: Self = Self::new(
        INTERNAL,
        "Failed to confirm registration: \
         request to http://workflow:5050/ failed, reason: connect ECONNREFUSED 127.0.0.1:5050",
        HIDDEN,
    );
    pub(super) const WORKFLOW_UNAUTHORIZED: Self =
        Self::new(INTERNAL, "Failed to confirm registration: Unauthorized", HIDDEN);
    pub(super) const WORKFLOW_FORBIDDEN: Self =
        Self::new(INTERNAL, "Failed to confirm registration: Forbidden", HIDDEN);
    pub(super) const REJECT_FORBIDDEN: Self =
        Self::new(INTERNAL, "Error in rejectRegistration: Forbidden", HIDDEN);
    pub(super) const PARSE_FAILED: Self =
        Self::new("GRAPHQL_PARSE_FAILED", "Syntax Error: Unexpected <EOF>.", INVALID);
    pub(super) const VALIDATION_FAILED: Self =
        Self::new("GRAPHQL_VALIDATION_FAILED", "Cannot query field of that name.", INVALID);
    pub(super) const BAD_ID: Self = Self::new(
        "BAD_USER_INPUT",
        "Variable \"$id\" got invalid value; a required field was not provided.",
        INVALID,
    );
    pub(super) const BAD_DETAILS: Self = Self::new(
        "BAD_USER_INPUT",
        "Variable \"$details\" got invalid value; a required field was not provided.",
        INVALID,
    );
    pub(super) const RATE_LIMITED: Self = Self::new(
        "RATE_LIMIT_EXCEEDED",
        "Too many requests within a minute. Please throttle your requests.",
        (StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
    );
    pub(super) const FETCH_FAILED: Self = Self::new(INTERNAL, "Failed to fetch record {id}", HIDDEN);
    pub(super) const NOTHING_TO_SEARCH: Self = Self::new(INTERNAL, "There is no param to search ", HIDDEN);
    pub(super) const WINDOW_TOO_LARGE: Self =
        Self::new(INTERNAL, "Search request failed: Result window is too large", HIDDEN);

    const fn new(code: &'static str, message: &'static str, trpc: (StatusCode, &'static str)) -> Self {
        Self { code, message, trpc }
    }

    /// Builds the answer of the GraphQL gateway.
    pub(super) fn graphql(&self, operation: Option<Operation>, id: &str) -> Response {
        let error = json!({
            "message": self.message.replace("{id}", id),
            "locations": [{"line": 1, "column": 1}],
            "extensions": {"code": self.code}
        });
        if *self == Self::PARSE_FAILED || *self == Self::VALIDATION_FAILED {
            return (StatusCode::BAD_REQUEST, Json(json!({"errors": [error]}))).into_response();
        }
        let error = match operation {
            Some(operation) => with(error, json!({"path": [operation.field()]})),
            None => error,
        };
        // A query may be null. A mutation may not, so its error empties the whole `data`.
        let data = match operation {
            Some(Operation::Fetch) => json!({"fetchRegistration": null}),
            Some(Operation::Search) => json!({"searchEvents": null}),
            Some(Operation::Confirm | Operation::Reject) | None => Value::Null,
        };
        Json(json!({"errors": [error], "data": data})).into_response()
    }
}
