//! GraphQL responses of the gateway, 1.7.0–1.9.15, and their errors.
//!
//! Errors usually come with HTTP 200. Their codes are too coarse, so the messages tell the cases
//! apart.
//!
//! Source: `gateway` and `workflow` of opencrvs-core, v1.7.0–v1.9.15 (messages and codes).

use serde_json::Value;

use crate::domain::Dialect;
use crate::opencrvs::call::CompleteResponse;
use crate::opencrvs::fault::{OpencrvsFault, json_of, unreadable};

/// Reads the `data` of a response. A response that contains an error is a fault, whatever its
/// status and even if it also has data.
pub(in crate::opencrvs) fn data_of(response: &CompleteResponse) -> Result<Value, OpencrvsFault> {
    let mut body = json_of(Dialect::Fhir, response)?;
    match body.get("errors") {
        Some(Value::Array(errors)) => {
            if let Some(first) = errors.first() {
                return Err(fault_of(first));
            }
        }
        Some(Value::Null) | None => {}
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            return Err(unreadable(Dialect::Fhir, response));
        }
    }
    match body.get_mut("data").map(Value::take) {
        Some(data) if !data.is_null() && response.status.is_success() => Ok(data),
        _ => Err(OpencrvsFault::of_status(Dialect::Fhir, response.status, response.retry_after)),
    }
}

fn fault_of(error: &Value) -> OpencrvsFault {
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    let code = error.pointer("/extensions/code").and_then(Value::as_str).unwrap_or_default();
    match code {
        "UNAUTHENTICATED" => match message {
            "Unauthorized" => OpencrvsFault::Unauthorized,
            "Authentication failed" => OpencrvsFault::RegistrarInactive,
            _ => OpencrvsFault::LookupFailed,
        },
        "GRAPHQL_PARSE_FAILED" | "GRAPHQL_VALIDATION_FAILED" | "BAD_USER_INPUT" | "BAD_REQUEST" => {
            OpencrvsFault::Contract
        }
        "RATE_LIMIT_EXCEEDED" => OpencrvsFault::Throttled(None),
        _ => fault_of_message(message),
    }
}

/// Errors of the resolvers, whose code is always `INTERNAL_SERVER_ERROR`.
fn fault_of_message(message: &str) -> OpencrvsFault {
    match message {
        "User does not have a Confirm Registration scope" | "User does not have access to the record" => {
            OpencrvsFault::RecordRefused
        }
        "Failed to confirm registration: Unauthorized" | "Failed to confirm registration: Forbidden" => {
            OpencrvsFault::WorkflowRefused
        }
        _ if message.starts_with("Failed to fetch record") => OpencrvsFault::RecordNotFound,
        _ => OpencrvsFault::Downstream,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Cause;
    use crate::opencrvs::FaultClass;

    fn fault(message: &str, code: &str) -> OpencrvsFault {
        fault_of(&json!({ "message": message, "extensions": { "code": code } }))
    }

    #[test]
    fn every_row_of_the_gateways_error_table_has_its_class_and_cause() {
        let internal = "INTERNAL_SERVER_ERROR";
        for (message, code, class, cause) in [
            ("Unauthorized", "UNAUTHENTICATED", FaultClass::Permanent, Cause::TokenRefused),
            ("Authentication failed", "UNAUTHENTICATED", FaultClass::Permanent, Cause::RegistrarInactive),
            (
                "request to http://user-mgnt:3030/getUser failed",
                "UNAUTHENTICATED",
                FaultClass::Transient,
                Cause::GatewayUnavailable,
            ),
            (
                "User does not have a Confirm Registration scope",
                internal,
                FaultClass::Permanent,
                Cause::RecordRefused,
            ),
            (
                "User does not have access to the record",
                internal,
                FaultClass::Permanent,
                Cause::RecordRefused,
            ),
            (
                "Failed to confirm registration: Internal Server Error",
                internal,
                FaultClass::Ambiguous,
                Cause::GatewayUnavailable,
            ),
            (
                "Failed to confirm registration: request to http://workflow:5050 failed, reason: connect ECONNREFUSED",
                internal,
                FaultClass::Ambiguous,
                Cause::GatewayUnavailable,
            ),
            (
                "Failed to confirm registration: Unauthorized",
                internal,
                FaultClass::Permanent,
                Cause::TokenRefused,
            ),
            (
                "Failed to confirm registration: Forbidden",
                internal,
                FaultClass::Permanent,
                Cause::TokenRefused,
            ),
            ("Syntax Error", "GRAPHQL_PARSE_FAILED", FaultClass::Permanent, Cause::GatewayContract),
            ("Unknown argument", "GRAPHQL_VALIDATION_FAILED", FaultClass::Permanent, Cause::GatewayContract),
            ("Variable", "BAD_USER_INPUT", FaultClass::Permanent, Cause::GatewayContract),
            ("Failed to fetch record 7", internal, FaultClass::Transient, Cause::NotYetVisible),
        ] {
            let fault = fault(message, code);
            assert_eq!((fault.class(), fault.cause()), (class, cause), "{message}");
        }
    }

    #[test]
    fn a_fault_never_repeats_what_the_gateway_wrote() {
        let text = fault("Failed to confirm registration: Ada Doe", "INTERNAL_SERVER_ERROR").to_string();
        assert!(!text.contains("Ada"), "{text}");
    }

    #[test]
    fn data_counts_only_in_a_success_without_errors() {
        let read = |status: u16, body: Value| {
            let status = reqwest::StatusCode::from_u16(status).unwrap();
            data_of(&CompleteResponse { status, retry_after: None, body: body.to_string().into() })
        };
        assert_eq!(read(200, json!({ "data": { "a": 1 }, "errors": [] })), Ok(json!({ "a": 1 })));
        assert_eq!(read(400, json!({ "data": { "a": 1 } })), Err(OpencrvsFault::Contract));
        assert_eq!(read(200, json!({ "data": null })), Err(OpencrvsFault::Status(200)));
        let limited = json!({ "message": "x", "extensions": { "code": "RATE_LIMIT_EXCEEDED" } });
        assert_eq!(
            read(200, json!({ "data": {}, "errors": [limited] })),
            Err(OpencrvsFault::Throttled(None))
        );
    }
}
