//! tRPC responses of the events service behind the gateway, 1.9.0–2.1.0, and their errors.
//!
//! A response is `{"result":{"data":{"json":…}}}` or `{"error":{"json":…}}`, in a list if the call
//! was batched (our calls are not).
//!
//! Source: `events` of opencrvs-core, v1.9.0–v2.1.0, with the messages of a production deployment.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::{Budget, Dialect};
use crate::opencrvs::call::CompleteResponse;
use crate::opencrvs::fault::{OpencrvsFault, raw_of};
use crate::opencrvs::raw::{each_element, member};

/// The result of a call, which is not built yet.
pub(super) fn result_of(response: &CompleteResponse) -> Result<&RawValue, OpencrvsFault> {
    let body = raw_of(Dialect::Events, response)?;
    let mut first = None;
    each_element(body, |answer| first = first.or(Some(answer)));
    let answer = first.unwrap_or(body);
    if let Some(error) = at(answer, &["error", "json"]) {
        let error = Budget::of(response.body.len()).build(error.get()).unwrap_or_default();
        return Err(fault_of(response, &error));
    }
    if !response.status.is_success() {
        return Err(OpencrvsFault::of_status(Dialect::Events, response.status, response.retry_after));
    }
    at(answer, &["result", "data", "json"]).ok_or(OpencrvsFault::Unreadable)
}

fn at<'a>(value: &'a RawValue, path: &[&str]) -> Option<&'a RawValue> {
    path.iter().try_fold(value, |value, name| member(value, name))
}

fn fault_of(response: &CompleteResponse, error: &Value) -> OpencrvsFault {
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    match error.pointer("/data/code").and_then(Value::as_str).unwrap_or_default() {
        "UNAUTHORIZED" => OpencrvsFault::Unauthorized,
        "FORBIDDEN" => OpencrvsFault::RecordRefused,
        "NOT_FOUND" if message.starts_with("No procedure found") => OpencrvsFault::Contract,
        "NOT_FOUND" if message.starts_with("Action not found") => OpencrvsFault::ActionNotFound,
        "NOT_FOUND" => OpencrvsFault::EventNotFound,
        "CONFLICT" if message.starts_with("User is assigned") => OpencrvsFault::Assigned,
        "BAD_REQUEST" if message.starts_with("Action has already been rejected") => {
            OpencrvsFault::AlreadyRejected
        }
        "BAD_REQUEST" if refuses_field(message) => OpencrvsFault::FieldUndefined,
        // The message begins with `Action`, then the id of the action.
        "BAD_REQUEST"
            if message.contains("is not awaiting confirmation")
                || message.contains("cannot be confirmed as") =>
        {
            OpencrvsFault::NotPending
        }
        "BAD_REQUEST"
        | "PARSE_ERROR"
        | "UNSUPPORTED_MEDIA_TYPE"
        | "METHOD_NOT_SUPPORTED"
        | "PAYLOAD_TOO_LARGE" => OpencrvsFault::Contract,
        "TOO_MANY_REQUESTS" => OpencrvsFault::Throttled(None),
        _ => OpencrvsFault::of_status(Dialect::Events, response.status, None),
    }
}

/// Whether core refuses a field. The message is a list of field errors in JSON
/// (`throwWhenNotEmpty`), or one sentence. The list also quotes values, so only the messages in it
/// are compared.
fn refuses_field(message: &str) -> bool {
    const REFUSALS: [&str; 2] = ["Unexpected field", "Hidden or disabled field should not receive a value"];
    let is_refusal = |text: &str| REFUSALS.iter().any(|refusal| text.starts_with(refusal));
    let errors = Budget::of(message.len()).build(message).unwrap_or_default();
    let errors = errors.as_array().into_iter().flatten();
    let mut messages = errors.filter_map(|error| error.get("message")?.as_str());
    is_refusal(message) || messages.any(is_refusal)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::StatusCode;

    use super::*;
    use crate::domain::Cause;
    use crate::opencrvs::FaultClass;

    fn read(status: u16, body: &str) -> Result<Value, OpencrvsFault> {
        let status = StatusCode::from_u16(status).unwrap();
        let response = CompleteResponse { status, retry_after: None, body: body.into() };
        result_of(&response).map(|result| serde_json::from_str(result.get()).unwrap())
    }

    fn error(status: u16, code: &str, message: &str) -> OpencrvsFault {
        let body =
            serde_json::json!({ "error": { "json": { "message": message, "data": { "code": code } } } });
        read(status, &body.to_string()).unwrap_err()
    }

    #[test]
    fn every_row_of_trpcs_error_table_has_its_class_and_cause() {
        let minute = FaultClass::Throttled(Duration::from_secs(60));
        for (status, code, message, class, cause) in [
            (401, "UNAUTHORIZED", "", FaultClass::Permanent, Cause::TokenRefused),
            (403, "FORBIDDEN", "", FaultClass::Permanent, Cause::RecordRefused),
            // The code counts, whatever the status: a batch has a status of its own.
            (207, "UNAUTHORIZED", "", FaultClass::Permanent, Cause::TokenRefused),
            (207, "FORBIDDEN", "", FaultClass::Permanent, Cause::RecordRefused),
            (207, "BAD_REQUEST", "Required", FaultClass::Permanent, Cause::GatewayContract),
            (207, "PARSE_ERROR", "", FaultClass::Permanent, Cause::GatewayContract),
            (207, "UNSUPPORTED_MEDIA_TYPE", "", FaultClass::Permanent, Cause::GatewayContract),
            (207, "METHOD_NOT_SUPPORTED", "", FaultClass::Permanent, Cause::GatewayContract),
            (207, "PAYLOAD_TOO_LARGE", "", FaultClass::Permanent, Cause::GatewayContract),
            (404, "NOT_FOUND", "Event not found with ID: 7", FaultClass::Permanent, Cause::RecordRefused),
            (404, "NOT_FOUND", "Action not found.", FaultClass::Permanent, Cause::RecordRefused),
            (404, "NOT_FOUND", "No procedure found on path", FaultClass::Permanent, Cause::GatewayContract),
            (
                400,
                "BAD_REQUEST",
                "Action has already been rejected.",
                FaultClass::AlreadyRejected,
                Cause::MovedOn,
            ),
            (400, "BAD_REQUEST", "Required", FaultClass::Permanent, Cause::GatewayContract),
            (400, "BAD_REQUEST", "Unexpected field", FaultClass::Permanent, Cause::FieldUndefined),
            (
                400,
                "BAD_REQUEST",
                r#"[{"message":"Unexpected field","id":"child.nid","value":"8031687218"}]"#,
                FaultClass::Permanent,
                Cause::FieldUndefined,
            ),
            (
                400,
                "BAD_REQUEST",
                r#"[{"message":"Required","id":"child.name","value":"Unexpected field"}]"#,
                FaultClass::Permanent,
                Cause::GatewayContract,
            ),
            (
                400,
                "BAD_REQUEST",
                r#"[{"message":"Required"},{"message":"Hidden or disabled field should not receive a value"}]"#,
                FaultClass::Permanent,
                Cause::FieldUndefined,
            ),
            (400, "PARSE_ERROR", "", FaultClass::Permanent, Cause::GatewayContract),
            (415, "UNSUPPORTED_MEDIA_TYPE", "", FaultClass::Permanent, Cause::GatewayContract),
            (405, "METHOD_NOT_SUPPORTED", "", FaultClass::Permanent, Cause::GatewayContract),
            (413, "PAYLOAD_TOO_LARGE", "", FaultClass::Permanent, Cause::GatewayContract),
            (200, "TOO_MANY_REQUESTS", "", minute, Cause::GatewayUnavailable),
            (429, "TOO_MANY_REQUESTS", "", minute, Cause::GatewayUnavailable),
            (500, "INTERNAL_SERVER_ERROR", "", FaultClass::Ambiguous, Cause::GatewayUnavailable),
            (409, "CONFLICT", "", FaultClass::Ambiguous, Cause::GatewayUnavailable),
        ] {
            let fault = error(status, code, message);
            assert_eq!((fault.class(), fault.cause()), (class, cause), "{status} {code} {message}");
        }
    }

    #[test]
    fn the_refusals_of_2_1_are_told_apart() {
        for (status, code, message, fault) in [
            (409, "CONFLICT", "User is assigned to this event", OpencrvsFault::Assigned),
            (400, "BAD_REQUEST", "Action 7 is not awaiting confirmation.", OpencrvsFault::NotPending),
            (
                400,
                "BAD_REQUEST",
                "Action 7 is of type DECLARE, cannot be confirmed as REGISTER.",
                OpencrvsFault::NotPending,
            ),
            (404, "NOT_FOUND", "Action not found.", OpencrvsFault::ActionNotFound),
            (404, "NOT_FOUND", "Event not found with ID: 7", OpencrvsFault::EventNotFound),
        ] {
            assert_eq!(error(status, code, message), fault, "{message}");
        }
        assert_eq!(OpencrvsFault::Assigned.class(), FaultClass::Transient);
        assert_eq!(OpencrvsFault::Assigned.cause(), Cause::Assigned);
        assert_eq!(OpencrvsFault::NotPending.class(), FaultClass::Permanent);
        assert_eq!(OpencrvsFault::NotPending.cause(), Cause::RecordRefused);
    }

    #[test]
    fn a_fault_never_repeats_what_the_events_service_wrote() {
        let text = error(400, "BAD_REQUEST", "Ada Doe").to_string();
        assert!(!text.contains("Ada"), "{text}");
    }

    #[test]
    fn responses_that_are_not_trpc_are_told_apart() {
        let of = |status: u16, body: &str| read(status, body).unwrap_err();
        assert_eq!(
            of(401, r#"{"statusCode":401,"error":"Unauthorized","message":"x"}"#),
            OpencrvsFault::Unauthorized
        );
        assert_eq!(of(502, "<html>"), OpencrvsFault::Status(502));
        assert_eq!(of(404, "<html>"), OpencrvsFault::Unreachable);
        assert_eq!(of(404, r#"{"statusCode":404}"#), OpencrvsFault::Contract);
        assert_eq!(of(200, "<html>"), OpencrvsFault::Unreadable);
        assert_eq!(of(200, "[]"), OpencrvsFault::Unreadable);
        let no_procedure = r#"{"error":{"json":{"message":"No procedure found on path \"x\"","data":{"code":"NOT_FOUND"}}}}"#;
        assert_eq!(of(404, no_procedure), OpencrvsFault::Contract);
        assert_eq!(of(429, "").class(), FaultClass::Throttled(Duration::from_secs(60)));
    }
}
