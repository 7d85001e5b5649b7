//! A reply of the queue contract, read strictly: what does not meet `reply.v1.json` is not a reply.
//!
//! Invariant: the ID system's free text is not kept, since it may name a person; unknown members are ignored.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::{IdKind, NationalId, Reason, ReasonCode, RequestId};

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
    #[serde(default)]
    datacontenttype: Option<Value>,
    data: Value,
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
        check("time", wire.time.as_str().is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok()))?;
        check("datacontenttype", wire.datacontenttype.is_none_or(|kind| kind == "application/json"))?;
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
    // A field's name is a path of the contract; anything else could be a value, which is not to be kept.
    let named = |field: &String| field.chars().all(|c| c.is_ascii_alphanumeric() || "._[]-/".contains(c));
    Some(Reason { code, fields: fields.into_iter().filter(named).collect() })
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::nid::REPLY_SCHEMA;

    fn reply(data: &Value) -> Value {
        json!({
            "specversion": "1.0", "id": "r-1", "source": "/nid", "type": "crvs.nid.reply.v1",
            "time": "2026-11-23T10:00:00Z", "datacontenttype": "application/json", "data": data,
        })
    }

    fn data(status: &str) -> Value {
        json!({ "request_id": "b3821b1b-0cf8-5bdc-b94e-ecbc9af4a30e", "submission": 1, "status": status })
    }

    fn with(mut value: Value, pointer: &str, member: Value) -> Value {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap()[name] = member;
        value
    }

    /// Replies that are one step away from a good one, and good ones.
    fn instances() -> Vec<Value> {
        let issued = with(reply(&data("issued")), "/data/national_id", json!("1234567890"));
        let rejected = with(reply(&data("rejected")), "/data/reason", json!({ "code": "not_eligible" }));
        let mut all = vec![
            issued.clone(),
            rejected.clone(),
            reply(&data("recorded")),
            reply(&data("pending")),
            with(reply(&data("retry")), "/data/retry_after_s", json!(30)),
            with(reply(&data("retry")), "/data/retry_after_s", json!(0)),
            with(reply(&data("retry")), "/data/retry_after_s", json!("30")),
            with(reply(&data("pending")), "/data/nid_reference", json!("x".repeat(129))),
            with(issued.clone(), "/data/submission", json!(1.0)),
            with(issued.clone(), "/data/unheard_of", json!({ "a": 1 })),
            reply(&data("issued")),
            reply(&data("rejected")),
            reply(&data("done")),
            json!([]),
            json!("issued"),
        ];
        for (pointer, values) in [
            ("/specversion", vec![json!("0.3"), json!(1)]),
            ("/id", vec![json!(""), json!("x".repeat(100)), json!(7)]),
            ("/type", vec![json!("crvs.nid.reply.v2")]),
            ("/time", vec![json!("yesterday"), json!(0)]),
            ("/data", vec![json!(null), json!([])]),
            ("/data/submission", vec![json!(0), json!(-1), json!("1"), json!(1.5), json!(null)]),
            ("/data/request_id", vec![json!("x".repeat(37)), json!(1)]),
            ("/data/national_id", vec![json!(""), json!("9".repeat(65)), json!(1)]),
            ("/data/national_id_kind", vec![json!("uin"), json!("UIN")]),
        ] {
            all.extend(values.into_iter().map(|value| with(issued.clone(), pointer, value)));
        }
        for reason in
            [json!({}), json!({ "code": "no" }), json!({ "code": "other", "message": "m".repeat(501) })]
        {
            all.push(with(rejected.clone(), "/data/reason", reason));
        }
        all.push(with(rejected, "/data/reason", json!({ "code": "other", "fields": ["a", 1] })));
        all
    }

    #[test]
    fn what_is_read_is_exactly_what_the_published_schema_allows() {
        let schema: Value = serde_json::from_str(REPLY_SCHEMA).unwrap();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let mut read = 0;
        for instance in instances() {
            let ours = Reply::read(instance.to_string().as_bytes(), 65_536);
            assert_eq!(ours.is_ok(), validator.is_valid(&instance), "{instance}: {ours:?}");
            read += usize::from(ours.is_ok());
        }
        assert!(read >= 7, "only {read} replies were read");
    }

    #[test]
    fn a_vendors_free_text_is_not_kept() {
        let reason = json!({ "code": "other", "message": "Ada Doe", "fields": ["subject.name", "Ada Doe"] });
        let text = with(reply(&data("rejected")), "/data/reason", reason).to_string();
        let kept = Reply::read(text.as_bytes(), 65_536).unwrap();
        let reason = Reason { code: ReasonCode::Other, fields: vec!["subject.name".into()] };
        assert_eq!(kept.status, Status::Rejected(reason));
    }

    #[test]
    fn what_is_not_json_or_too_long_says_so() {
        assert_eq!(Reply::read(b"\xff", 10), Err(Malformed::NotJson));
        assert_eq!(Reply::read(&[b' '; 11], 10), Err(Malformed::TooLong { max: 10 }));
    }
}
