//! Answers of the events service in tRPC's format, and the gateway's own error.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::confirm::Refused;
use crate::sandbox::opencrvs::errors::ErrorRow;

/// The gateway's own error, which is not in tRPC's format.
fn unauthorized() -> Response {
    let body = json!({ "statusCode": 401, "error": "Unauthorized", "message": "Missing authentication" });
    (StatusCode::UNAUTHORIZED, Json(body)).into_response()
}

pub(super) fn answer(done: Result<Value, Refused>, procedure: &str) -> Response {
    match done {
        Ok(data) => Json(json!({ "result": { "data": { "json": data } } })).into_response(),
        Err(refused) if refused == Refused::UNAUTHENTICATED => unauthorized(),
        Err(refused) => error(refused.status, &refused.message, procedure),
    }
}

pub(super) fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        405 => "METHOD_NOT_SUPPORTED",
        409 => "CONFLICT",
        415 => "UNSUPPORTED_MEDIA_TYPE",
        429 => "TOO_MANY_REQUESTS",
        _ => "INTERNAL_SERVER_ERROR",
    }
}

pub(super) fn error(status: StatusCode, message: &str, procedure: &str) -> Response {
    let data = json!({ "code": code(status), "httpStatus": status.as_u16(), "path": procedure });
    (status, Json(json!({ "error": { "json": { "message": message, "code": -32_600, "data": data } } })))
        .into_response()
}

/// An error of OpenCRVS that a fault brings about.
pub(super) fn row_error(row: &ErrorRow) -> Response {
    match row.trpc {
        (StatusCode::UNAUTHORIZED, _) => unauthorized(),
        (status, message) => error(status, message, ""),
    }
}
