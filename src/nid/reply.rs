//! A reply of the queue contract, read strictly: what does not meet `reply.v1.json` is not a reply.
//!
//! Invariant: the ID system's free text is not kept, since it may name a person; unknown members are ignored.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::{IdKind, NationalId, Reason, ReasonCode, RequestId};

/// What a field of a request is called in the contract (`request.v1.json`).
const PLACES: [&str; 21] = [
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

/// Why a message is not a reply. Holds nothing of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than a reply may be.
    #[error("the reply is longer than {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// Not JSON, or not a JSON object.
    #[error("the reply is not a JSON object")]
    NotJson,
    /// A member is absent or not as `reply.v1.json` has it.
    #[error("`{0}` is absent or not what reply.v1.json says")]
    Member(&'static str),
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request that it answers. `None` if the text is not one of our ids, so that no request can have it.
    pub request: Option<RequestId>,
    /// The submission that it answers.
    pub submission: u32,
    /// What it says.
    pub status: Status,
}

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// An ID was issued.
    Issued {
        /// The ID.
        id: NationalId,
        /// Its kind.
        kind: Option<IdKind>,
    },
    /// The death is recorded.
    Recorded,
    /// Rejected for good.
    Rejected(Reason),
    /// Ask again, after so many seconds if it says.
    Retry(Option<u32>),
    /// Still at it, perhaps with a reference of its own.
    Pending(Option<String>),
}

impl Status {
    /// The name in the contract and in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Issued { .. } => "issued",
            Self::Recorded => "recorded",
            Self::Rejected(_) => "rejected",
            Self::Retry(_) => "retry",
            Self::Pending(_) => "pending",
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    specversion: Value,
    id: Value,
    source: Value,
    r#type: Value,
    time: Value,
    #[serde(default = "json")]
    datacontenttype: Value,
    data: Value,
}

fn json() -> Value {
    Value::from("application/json")
}

impl Reply {
    /// Reads a reply of at most `max` bytes.
    ///
    /// # Errors
    /// [`Malformed`] names the first member that is not as it should be.
    pub fn read(body: &[u8], max: usize) -> Result<Self, Malformed> {
        if body.len() > max {
            return Err(Malformed::TooLong { max });
        }
        let value: Value = serde_json::from_slice(body).map_err(|_| Malformed::NotJson)?;
        let wire: Wire = match value {
            Value::Object(_) => serde_json::from_value(value).map_err(|_| Malformed::Member("envelope"))?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(Malformed::NotJson);
            }
        };
        check("specversion", wire.specversion == "1.0")?;
        check("id", text_within(&wire.id, 1, 99))?;
        check("source", text_within(&wire.source, 0, 255))?;
        check("type", wire.r#type == "crvs.nid.reply.v1")?;
        check("time", wire.time.as_str().is_some_and(is_date_time))?;
        check("datacontenttype", wire.datacontenttype == json())?;
        read_data(&wire.data)
    }
}

fn read_data(data: &Value) -> Result<Reply, Malformed> {
    let request = data.get("request_id").and_then(Value::as_str).filter(|id| id.chars().count() <= 36);
    let submission = data.get("submission").and_then(whole).filter(|n| *n >= 1);
    let kind = member(data, "national_id_kind", |kind| serde_json::from_value::<IdKind>(kind.clone()).ok());
    let reference = member(data, "nid_reference", |text| {
        text.as_str().filter(|text| text.chars().count() <= 128).map(str::to_owned)
    });
    let after = member(data, "retry_after_s", |n| whole(n).filter(|n| (1..=86_400).contains(n)));
    let id = member(data, "national_id", |id| id.as_str().and_then(|id| NationalId::parse(id).ok()));
    let reason = member(data, "reason", reason);
    let (kind, reference, after, id, reason) = (kind?, reference?, after?, id?, reason?);
    let status = match data.get("status").and_then(Value::as_str) {
        Some("issued") => Status::Issued { id: id.ok_or(Malformed::Member("national_id"))?, kind },
        Some("recorded") => Status::Recorded,
        Some("rejected") => Status::Rejected(reason.ok_or(Malformed::Member("reason"))?),
        Some("retry") => Status::Retry(after.and_then(|n| u32::try_from(n).ok())),
        Some("pending") => Status::Pending(reference),
        Some(_) | None => return Err(Malformed::Member("status")),
    };
    let request = request.ok_or(Malformed::Member("request_id"))?;
    let submission = submission.ok_or(Malformed::Member("submission"))?;
    Ok(Reply {
        request: RequestId::parse(request).ok(),
        // A submission that no counter of ours can reach is a wrong one, not a malformed one.
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
    Some(Reason { code, fields: fields.into_iter().filter(|field| is_place(field)).collect() })
}

/// A path of the contract, such as `subject.name` or `/data/parents/0`. Anything else could be a value, which is not to
/// be kept.
fn is_place(field: &str) -> bool {
    let mut parts = field.split(['.', '/', '[', ']']).filter(|part| !part.is_empty()).peekable();
    let number = |part: &str| part.len() == 1 && part.chars().all(|c| c.is_ascii_digit());
    parts.peek().is_some() && parts.all(|part| PLACES.contains(&part) || number(part))
}

/// RFC 3339, as JSON Schema has it: jiff alone takes more of ISO 8601 than that.
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

/// A member that may be absent but not wrong.
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

/// A whole number as JSON Schema has it: `1.0` is one.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number =
            value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(n))?;
        format!("{number:.0}").parse().ok()
    })
}

#[cfg(test)]
mod tests;
