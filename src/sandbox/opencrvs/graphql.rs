//! Enough of GraphQL to tell what a caller asks for, and the errors as the gateway words them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::fault::Fault;

/// What a document asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Confirm,
    Reject,
    Fetch,
    Search,
}

impl Operation {
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Confirm => "confirmRegistration",
            Self::Reject => "rejectRegistration",
            Self::Fetch => "fetchRegistration",
            Self::Search => "searchEvents",
        }
    }

    /// Finds the operation of a document by its root field.
    pub(super) fn of(document: &str) -> Result<Self, GatewayError> {
        let opened = document.matches('{').count();
        if opened == 0 || opened != document.matches('}').count() {
            return Err(GatewayError::ParseFailed);
        }
        [Self::Confirm, Self::Reject, Self::Fetch, Self::Search]
            .into_iter()
            .find(|operation| document.contains(operation.field()))
            .ok_or(GatewayError::ValidationFailed)
    }
}

/// An error as the gateway answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GatewayError {
    Unauthorized,
    AuthenticationFailed,
    UserManagementDown,
    NoScope(Operation),
    OtherRecord,
    Confirm(&'static str),
    RejectForbidden,
    FetchFailed(String),
    ParseFailed,
    ValidationFailed,
    BadUserInput(&'static str),
    RateLimited,
    NothingToSearch,
    WindowTooLarge,
}

const UNREACHABLE: &str =
    "request to http://workflow:5050/ failed, reason: connect ECONNREFUSED 127.0.0.1:5050";

impl GatewayError {
    /// The error that a fault shows, where it shows one.
    pub(super) fn of(fault: Fault) -> Option<Self> {
        match fault {
            Fault::Unauthorized => Some(Self::Unauthorized),
            Fault::AuthenticationFailed => Some(Self::AuthenticationFailed),
            Fault::UserManagementDown => Some(Self::UserManagementDown),
            Fault::NoScope => Some(Self::NoScope(Operation::Confirm)),
            Fault::OtherRecord => Some(Self::OtherRecord),
            Fault::FailsBefore | Fault::FailsAfter | Fault::TruncatedBefore => {
                Some(Self::Confirm("Internal Server Error"))
            }
            Fault::WorkflowUnreachable => Some(Self::Confirm(UNREACHABLE)),
            Fault::WorkflowUnauthorized => Some(Self::Confirm("Unauthorized")),
            Fault::WorkflowForbidden => Some(Self::Confirm("Forbidden")),
            Fault::ParseFailed => Some(Self::ParseFailed),
            Fault::ValidationFailed => Some(Self::ValidationFailed),
            Fault::BadUserInput => Some(Self::BadUserInput("details")),
            Fault::RateLimited => Some(Self::RateLimited),
            Fault::Http(_)
            | Fault::HttpAfter(_)
            | Fault::NotJson
            | Fault::Hang
            | Fault::HangAfter
            | Fault::HangLate(_)
            | Fault::Delay(_)
            | Fault::CutBefore
            | Fault::CutAfter
            | Fault::CutLate(_)
            | Fault::TruncatedAfter => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Unauthorized => "Unauthorized".to_owned(),
            Self::AuthenticationFailed => "Authentication failed".to_owned(),
            Self::UserManagementDown => {
                "request to http://user-mgnt:3030/getUser failed, reason: connect ECONNREFUSED".to_owned()
            }
            Self::NoScope(Operation::Reject) => "User does not have a Reject Registration scope".to_owned(),
            Self::NoScope(Operation::Confirm | Operation::Fetch | Operation::Search) => {
                "User does not have a Confirm Registration scope".to_owned()
            }
            Self::OtherRecord => "User does not have access to the record".to_owned(),
            Self::Confirm(why) => format!("Failed to confirm registration: {why}"),
            Self::RejectForbidden => "Error in rejectRegistration: Forbidden".to_owned(),
            Self::FetchFailed(record) => format!("Failed to fetch record {record}"),
            Self::ParseFailed => "Syntax Error: Unexpected <EOF>.".to_owned(),
            Self::ValidationFailed => "Cannot query field of that name.".to_owned(),
            Self::BadUserInput(variable) => {
                format!("Variable \"${variable}\" got invalid value; a required field was not provided.")
            }
            Self::NothingToSearch => "There is no param to search ".to_owned(),
            Self::WindowTooLarge => "Search request failed: Result window is too large".to_owned(),
            Self::RateLimited => {
                "Too many requests within a minute. Please throttle your requests.".to_owned()
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized | Self::AuthenticationFailed | Self::UserManagementDown => "UNAUTHENTICATED",
            Self::NoScope(_)
            | Self::OtherRecord
            | Self::Confirm(_)
            | Self::RejectForbidden
            | Self::FetchFailed(_)
            | Self::NothingToSearch
            | Self::WindowTooLarge => "INTERNAL_SERVER_ERROR",
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::BadUserInput(_) => "BAD_USER_INPUT",
            Self::RateLimited => "RATE_LIMIT_EXCEEDED",
        }
    }

    /// The whole answer: HTTP 200 for all but a document that cannot be run.
    pub(super) fn answer(&self, operation: Option<Operation>) -> Response {
        let mut error = json!({
            "message": self.message(),
            "locations": [{"line": 1, "column": 1}],
            "extensions": {"code": self.code()}
        });
        if matches!(self, Self::ParseFailed | Self::ValidationFailed) {
            return (StatusCode::BAD_REQUEST, Json(json!({"errors": [error]}))).into_response();
        }
        if let (Some(operation), Some(fields)) = (operation, error.as_object_mut()) {
            fields.insert("path".to_owned(), json!([operation.field()]));
        }
        // fetchRegistration may be null, the mutations may not, so that theirs empties the whole answer
        let data = match operation {
            Some(Operation::Fetch) => json!({"fetchRegistration": null}),
            Some(Operation::Search) => json!({"searchEvents": null}),
            Some(Operation::Confirm | Operation::Reject) | None => Value::Null,
        };
        Json(json!({"errors": [error], "data": data})).into_response()
    }
}
