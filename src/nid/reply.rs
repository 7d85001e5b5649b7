//! Reads a reply of the queue contract. A reply is accepted exactly if it matches `reply.v1.json`.
//!
//! The schema is strict about the members that decide an answer and lenient about all others, so
//! that no reply is refused for a member that the bridge does not need.
//!
//! Invariant: the ID system's free text is not kept, since it may name a person. Unknown members
//! are ignored.

mod refused;

use serde_json::{Map, Value};

use crate::domain::{Budget, NationalId, Reason, ReasonCode, ReasonSource, RequestId, Unbuilt};

pub use refused::{Malformed, RefusedReply};

/// The names of fields in the contract (`request.v1.json`).
const FIELD_NAMES: [&str; 21] = [
    "data",
    "submission",
    "expires_at",
    "registration",
    "number",
    "registered_on",
    "office_code",
    "subject",
    "parents",
    "person",
    "name",
    "full",
    "given",
    "family",
    "lang",
    "date_of_birth",
    "date_of_death",
    "sex",
    "place_of_birth",
    "national_id",
    "role",
];

/// Maximum number of fields that are kept of those that a rejection names.
const MOST_FIELDS: usize = 20;

/// A reply that matches the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request that the ID system replies to. `None` if the id is not a UUID, which no request
    /// of ours can have.
    pub request: Option<RequestId>,
    /// The submission that the ID system replies to, from 1.
    pub submission: u32,
    pub status: Status,
}

/// What the ID system says about the submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Issued(NationalId),
    /// The death is recorded.
    Recorded,
    Rejected(Reason),
    /// The ID system wants to be asked again later: after this number of seconds, if it gives one.
    Retry(Option<u32>),
    /// The ID system is still working on the submission. The reference that it may give
    /// (`nid_reference`) is not kept: nothing depends on it, and it could be personal data.
    Pending,
}

impl Status {
    /// The name in the contract and in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Issued(_) => "issued",
            Self::Recorded => "recorded",
            Self::Rejected(_) => "rejected",
            Self::Retry(_) => "retry",
            Self::Pending => "pending",
        }
    }
}

impl Reply {
    /// Reads a reply of at most `max` bytes. A byte order mark is ignored, and an optional member
    /// that is `null` counts as absent.
    ///
    /// # Errors
    /// [`Malformed`] names the first member that does not meet the schema.
    pub fn read(body: &[u8], max: usize) -> Result<Self, Malformed> {
        if body.len() > max {
            return Err(Malformed::TooLong { max });
        }
        let event = match parse(body) {
            Ok(Value::Object(event)) => event,
            Err(Unbuilt::TooCostly) => return Err(Malformed::TooCostly),
            Ok(_) | Err(Unbuilt::NotJson) => return Err(Malformed::NotJson),
        };
        let member = |name: &str| event.get(name).unwrap_or(&Value::Null);
        check("specversion", *member("specversion") == "1.0")?;
        check("id", member("id").as_str().is_some_and(|id| !id.is_empty()))?;
        check("source", member("source").is_string())?;
        check("type", *member("type") == "crvs.nid.reply.v1")?;
        check("time", member("time").as_str().is_some_and(is_date_time))?;
        let media_type = member("datacontenttype");
        check("datacontenttype", media_type.is_null() || media_type.as_str().is_some_and(is_json))?;
        match member("data") {
            Value::Object(data) => read_data(data),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(Malformed::Member("data"))
            }
        }
    }

    /// The request that a body of at most `max` bytes names, even if the body is no valid reply.
    pub fn addressed_request(body: &[u8], max: usize) -> Option<RequestId> {
        let body = body.get(..max).unwrap_or(body);
        let Ok(body) = parse(body) else { return written_request(body) };
        let id = ["/data/request_id", "/request_id"].into_iter().find_map(|at| body.pointer(at)?.as_str());
        RequestId::parse(id?).ok()
    }
}

/// The request that is named in the beginning of a body that is too long to be read whole.
fn written_request(body: &[u8]) -> Option<RequestId> {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once("\"request_id\"")?;
    let id = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    RequestId::parse(id.split_once('"')?.0).ok()
}

fn parse(body: &[u8]) -> Result<Value, Unbuilt> {
    let text = str::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    Budget::of(body.len()).build(text.map_err(|_| Unbuilt::NotJson)?)
}

/// Whether this is the media type of JSON, in upper or lower case, with or without parameters.
fn is_json(media_type: &str) -> bool {
    const JSON: &str = "application/json";
    let Some((name, rest)) = media_type.split_at_checked(JSON.len()) else { return false };
    let rest = rest.trim_start_matches(' ');
    let parameters = rest.strip_prefix(';').unwrap_or(rest);
    let has_parameters = rest.len() > parameters.len();
    name.eq_ignore_ascii_case(JSON)
        && (rest.is_empty() || has_parameters)
        && parameters.chars().all(|c| (' '..='~').contains(&c))
}

/// The largest integer that every JSON reader keeps exactly (RFC 8259 §6): 2^53 − 1.
const LARGEST_INTEGER: u64 = 9_007_199_254_740_991;

/// Reads the members that the status needs. The others must only have the right type.
fn read_data(data: &Map<String, Value>) -> Result<Reply, Malformed> {
    let member = |name: &str| data.get(name).filter(|value| !value.is_null());
    let request = member("request_id").and_then(Value::as_str).filter(|id| id.chars().count() <= 36);
    let request = request.ok_or(Malformed::Member("request_id"))?;
    let submission = member("submission").and_then(integer).filter(|n| *n >= 1);
    let submission = submission.ok_or(Malformed::Member("submission"))?;
    for name in ["national_id", "national_id_kind", "nid_reference"] {
        check(name, member(name).is_none_or(Value::is_string))?;
    }
    check("reason", member("reason").is_none_or(Value::is_object))?;
    check("retry_after_s", member("retry_after_s").is_none_or(is_integer))?;
    let status = match member("status").and_then(Value::as_str) {
        Some("issued") => {
            let id = member("national_id").and_then(Value::as_str);
            let id = id.and_then(|id| NationalId::parse(id).ok());
            Status::Issued(id.ok_or(Malformed::Member("national_id"))?)
        }
        Some("recorded") => Status::Recorded,
        Some("rejected") => Status::Rejected(reason(member("reason").ok_or(Malformed::Member("reason"))?)?),
        Some("retry") => Status::Retry(member("retry_after_s").map(pause).transpose()?),
        Some("pending") => Status::Pending,
        Some(_) | None => return Err(Malformed::Member("status")),
    };
    Ok(Reply {
        request: RequestId::parse(request).ok(),
        // A number beyond `u32` is a submission that was never made, not a malformed reply.
        submission: u32::try_from(submission).unwrap_or(u32::MAX),
        status,
    })
}

/// Reads `retry_after_s`, in seconds.
fn pause(value: &Value) -> Result<u32, Malformed> {
    let seconds = integer(value).filter(|n| (1..=86_400).contains(n)).and_then(|n| u32::try_from(n).ok());
    seconds.ok_or(Malformed::Member("retry_after_s"))
}

/// Reads a reason. A code that the contract does not have is read as `other`.
fn reason(value: &Value) -> Result<Reason, Malformed> {
    let member = |name: &str| value.get(name).filter(|value| !value.is_null());
    let code = member("code").and_then(Value::as_str).ok_or(Malformed::Member("reason.code"))?;
    check("reason.message", member("message").is_none_or(Value::is_string))?;
    let none = Vec::new();
    let fields = member("fields").map_or(Some(&none), Value::as_array);
    let fields = fields.and_then(|fields| fields.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let fields = fields.ok_or(Malformed::Member("reason.fields"))?;
    let fields = fields.into_iter().filter(|field| is_field_path(field)).take(MOST_FIELDS);
    Ok(Reason {
        code: ReasonCode::parse(&code.to_ascii_lowercase()).unwrap_or(ReasonCode::Other),
        fields: fields.map(str::to_owned).collect(),
        source: ReasonSource::IdSystem,
    })
}

/// Whether the text is a path into a request, such as `subject.name` or `/data/parents/0`. Any
/// other text could be personal data, and is not kept.
fn is_field_path(field: &str) -> bool {
    let mut parts = field.split(['.', '/', '[', ']']).filter(|part| !part.is_empty()).peekable();
    let number = |part: &str| part.len() == 1 && part.chars().all(|c| c.is_ascii_digit());
    field.len() <= 100
        && parts.peek().is_some()
        && parts.all(|part| FIELD_NAMES.contains(&part) || number(part))
}

/// Whether the text is a `date-time` of JSON Schema, which is RFC 3339. The text is matched with a
/// shape first, because jiff alone accepts more of ISO 8601. A `0` in a shape is any digit.
fn is_date_time(text: &str) -> bool {
    let shaped = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(found, wanted)| match wanted {
                b'0' => found.is_ascii_digit(),
                _ => found.eq_ignore_ascii_case(&wanted),
            })
    };
    let Some((moment, rest)) = text.split_at_checked(19) else { return false };
    // That there is a digit after the point, jiff checks.
    let fraction = rest.strip_prefix('.');
    let zone = fraction.map_or(rest, |fraction| fraction.trim_start_matches(|c: char| c.is_ascii_digit()));
    let zoned = ["Z", "+00:00", "-00:00"].iter().any(|shape| shaped(zone, shape));
    shaped(moment, "0000-00-00T00:00:00") && zoned && text.parse::<jiff::Timestamp>().is_ok()
}

fn check(name: &'static str, holds: bool) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(Malformed::Member(name)) }
}

/// Whether this is an integer of any size, as JSON Schema defines it: `1.0` is an integer.
fn is_integer(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Reads an integer as JSON Schema defines it: `1.0` is an integer.
fn integer(value: &Value) -> Option<u64> {
    let number = value.as_u64().or_else(|| {
        let number =
            value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(n))?;
        format!("{number:.0}").parse().ok()
    });
    number.filter(|number| *number <= LARGEST_INTEGER)
}

#[cfg(test)]
mod tests;
