//! Reads a reply of the queue contract strictly: a message that does not match `reply.v1.json` is
//! refused.
//!
//! Invariant: the ID system's free text is not kept, since it may name a person. Unknown members
//! are ignored.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::{NationalId, Reason, ReasonCode, ReasonSource, RequestId};

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

/// The values of `national_id_kind` in `reply.v1.json`. The kind is checked but not kept: nothing
/// depends on it.
const ID_KINDS: [&str; 5] = ["uin", "vid", "psut", "nin", "other"];

/// Why a message is not a reply. Contains no text from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the reply is longer than {max} bytes")]
    TooLong { max: usize },
    #[error("the reply is not a JSON object")]
    NotJson,
    #[error("`{0}` is absent or not what reply.v1.json says")]
    Member(&'static str),
}

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
    /// Rejected for good.
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

#[derive(Deserialize)]
struct CloudEvent {
    specversion: Value,
    id: Value,
    source: Value,
    r#type: Value,
    time: Value,
    #[serde(default = "json_type")]
    datacontenttype: Value,
    data: Value,
}

fn json_type() -> Value {
    Value::from("application/json")
}

impl Reply {
    /// Reads a reply of at most `max` bytes.
    ///
    /// # Errors
    /// [`Malformed`] names the first member that does not meet the schema.
    pub fn read(body: &[u8], max: usize) -> Result<Self, Malformed> {
        if body.len() > max {
            return Err(Malformed::TooLong { max });
        }
        let value: Value = serde_json::from_slice(body).map_err(|_| Malformed::NotJson)?;
        let event: CloudEvent = match value {
            Value::Object(_) => serde_json::from_value(value).map_err(|_| Malformed::Member("envelope"))?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(Malformed::NotJson);
            }
        };
        check("specversion", event.specversion == "1.0")?;
        check("id", text_within(&event.id, 1, 99))?;
        check("source", text_within(&event.source, 0, 255))?;
        check("type", event.r#type == "crvs.nid.reply.v1")?;
        check("time", event.time.as_str().is_some_and(is_date_time))?;
        check("datacontenttype", event.datacontenttype == json_type())?;
        read_data(&event.data)
    }
}

/// The largest integer that every JSON reader keeps exactly (RFC 8259 §6): 2^53 − 1.
const LARGEST_INTEGER: u64 = 9_007_199_254_740_991;

fn read_data(data: &Value) -> Result<Reply, Malformed> {
    let request = data.get("request_id").and_then(Value::as_str).filter(|id| id.chars().count() <= 36);
    let submission = data.get("submission").and_then(integer).filter(|n| *n >= 1);
    let is_id_kind = |kind: &Value| kind.as_str().is_some_and(|kind| ID_KINDS.contains(&kind));
    check("national_id_kind", data.get("national_id_kind").is_none_or(is_id_kind))?;
    check("nid_reference", data.get("nid_reference").is_none_or(|text| text_within(text, 0, 128)))?;
    let after = member(data, "retry_after_s", |n| integer(n).filter(|n| (1..=86_400).contains(n)))?;
    let id = member(data, "national_id", |id| id.as_str().and_then(|id| NationalId::parse(id).ok()))?;
    let reason = member(data, "reason", reason)?;
    let status = match data.get("status").and_then(Value::as_str) {
        Some("issued") => Status::Issued(id.ok_or(Malformed::Member("national_id"))?),
        Some("recorded") => Status::Recorded,
        Some("rejected") => Status::Rejected(reason.ok_or(Malformed::Member("reason"))?),
        Some("retry") => Status::Retry(after.and_then(|n| u32::try_from(n).ok())),
        Some("pending") => Status::Pending,
        Some(_) | None => return Err(Malformed::Member("status")),
    };
    let request = request.ok_or(Malformed::Member("request_id"))?;
    let submission = submission.ok_or(Malformed::Member("submission"))?;
    Ok(Reply {
        request: RequestId::parse(request).ok(),
        // A number that our counter cannot reach makes the submission wrong, but not the reply
        // malformed.
        submission: u32::try_from(submission).unwrap_or(u32::MAX),
        status,
    })
}

fn reason(value: &Value) -> Option<Reason> {
    let code = value.get("code").and_then(Value::as_str).and_then(ReasonCode::parse)?;
    let message = value.get("message");
    if !message.is_none_or(|message| text_within(message, 0, 500)) {
        return None;
    }
    let fields = match value.get("fields") {
        None => Vec::new(),
        Some(list) => {
            let list = list.as_array().filter(|list| list.len() <= 20)?;
            let fits = |field: &Value| text_within(field, 0, 100).then(|| field.as_str().map(str::to_owned));
            list.iter().map(|field| fits(field).flatten()).collect::<Option<Vec<_>>>()?
        }
    };
    let fields = fields.into_iter().filter(|field| is_field_path(field)).collect();
    Some(Reason { code, fields, source: ReasonSource::IdSystem })
}

/// Whether the text is a path into a request, such as `subject.name` or `/data/parents/0`. Any
/// other text could be personal data, and is not kept.
fn is_field_path(field: &str) -> bool {
    let mut parts = field.split(['.', '/', '[', ']']).filter(|part| !part.is_empty()).peekable();
    let number = |part: &str| part.len() == 1 && part.chars().all(|c| c.is_ascii_digit());
    parts.peek().is_some() && parts.all(|part| FIELD_NAMES.contains(&part) || number(part))
}

/// Whether the text is a `date-time` of JSON Schema, which is RFC 3339. Parsing alone does not
/// tell, because jiff accepts more of ISO 8601.
fn is_date_time(text: &str) -> bool {
    let shaped = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(found, wanted)| match wanted {
                b'0' => found.is_ascii_digit(),
                _ => found.eq_ignore_ascii_case(&wanted),
            })
    };
    let Some((moment, rest)) = text.split_at_checked(19) else { return false };
    let digits = rest.strip_prefix('.').map_or(Some(rest), |fraction| {
        let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        (zone.len() < fraction.len()).then_some(zone)
    });
    let zoned = digits.is_some_and(|zone| ["Z", "+00:00", "-00:00"].iter().any(|shape| shaped(zone, shape)));
    shaped(moment, "0000-00-00T00:00:00") && zoned && text.parse::<jiff::Timestamp>().is_ok()
}

/// Reads a member that may be absent but must be valid if it is there.
fn member<T>(
    data: &Value,
    name: &'static str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, Malformed> {
    data.get(name).map(|value| read(value).ok_or(Malformed::Member(name))).transpose()
}

fn check(name: &'static str, holds: bool) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(Malformed::Member(name)) }
}

fn text_within(value: &Value, min: usize, max: usize) -> bool {
    value.as_str().is_some_and(|text| (min..=max).contains(&text.chars().count()))
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
