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

/// Defines each error as a constant: code and message of GraphQL, and the answer of tRPC.
macro_rules! errors {
    ($($name:ident $code:expr, $message:expr, $trpc:expr;)*) => {
        impl ErrorRow {
            $(pub(super) const $name: Self = Self { code: $code, message: $message, trpc: $trpc };)*
        }
    };
}

errors! {
    UNAUTHORIZED UNAUTHENTICATED, "Unauthorized", REFUSED;
    AUTHENTICATION_FAILED UNAUTHENTICATED, "Authentication failed", REFUSED;
    USER_MANAGEMENT_DOWN UNAUTHENTICATED,
        "request to http://user-mgnt:3030/getUser failed, reason: connect ECONNREFUSED", HIDDEN;
    NO_CONFIRM_SCOPE INTERNAL, "User does not have a Confirm Registration scope", FORBIDDEN;
    NO_REJECT_SCOPE INTERNAL, "User does not have a Reject Registration scope", FORBIDDEN;
    OTHER_RECORD INTERNAL, "User does not have access to the record", FORBIDDEN;
    CONFIRM_FAILED INTERNAL, "Failed to confirm registration: Internal Server Error", HIDDEN;
    WORKFLOW_UNREACHABLE INTERNAL,
        "Failed to confirm registration: \
         request to http://workflow:5050/ failed, reason: connect ECONNREFUSED 127.0.0.1:5050", HIDDEN;
    WORKFLOW_UNAUTHORIZED INTERNAL, "Failed to confirm registration: Unauthorized", HIDDEN;
    WORKFLOW_FORBIDDEN INTERNAL, "Failed to confirm registration: Forbidden", HIDDEN;
    REJECT_FORBIDDEN INTERNAL, "Error in rejectRegistration: Forbidden", HIDDEN;
    PARSE_FAILED "GRAPHQL_PARSE_FAILED", "Syntax Error: Unexpected <EOF>.", INVALID;
    VALIDATION_FAILED "GRAPHQL_VALIDATION_FAILED", "Cannot query field of that name.", INVALID;
    BAD_ID "BAD_USER_INPUT", "Variable \"$id\" got invalid value; a required field was not provided.", INVALID;
    BAD_DETAILS "BAD_USER_INPUT",
        "Variable \"$details\" got invalid value; a required field was not provided.", INVALID;
    RATE_LIMITED "RATE_LIMIT_EXCEEDED",
        "Too many requests within a minute. Please throttle your requests.",
        (StatusCode::TOO_MANY_REQUESTS, "Too many requests");
    FETCH_FAILED INTERNAL, "Failed to fetch record {id}", HIDDEN;
    NOTHING_TO_SEARCH INTERNAL, "There is no param to search ", HIDDEN;
    WINDOW_TOO_LARGE INTERNAL, "Search request failed: Result window is too large", HIDDEN;
}

impl ErrorRow {
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
