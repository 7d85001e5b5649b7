//! A reply as the vendor writes it: a CloudEvent in structured mode.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::behaviour::Behaviour;
use super::request::Request;
use crate::sandbox::json::with;

/// A final answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Final {
    /// The ID that is issued for a birth.
    Issued(String),
    /// The death is recorded.
    Recorded,
    /// Rejected for this reason (a code of the contract).
    Rejected(&'static str),
}

impl Final {
    /// The status as the contract writes it.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Issued(_) => "issued",
            Self::Recorded => "recorded",
            Self::Rejected(_) => "rejected",
        }
    }
}

/// A message that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Delay after the request.
    pub after: Duration,
    /// Least pause after the previous message for the same request was confirmed.
    pub apart: Duration,
    pub routing_key: &'static str,
    /// The AMQP correlation id: the id of the request.
    pub correlation_id: String,
    /// The AMQP message id, unique to each message.
    pub message_id: String,
    pub body: Vec<u8>,
}

/// The id and the body of a message.
pub(super) type Message = (String, Vec<u8>);

/// Plans the messages for one request.
pub(super) struct Replies<'a> {
    pub(super) request: &'a Request,
    pub(super) behaviour: &'a Behaviour,
    pub(super) now: Timestamp,
}

impl Replies<'_> {
    pub(super) fn answer(&self, answer: &Final) -> Message {
        event(&data(&self.request.id, self.request.submission, answer), self.now)
    }

    /// A message that is due this long after the request.
    pub(super) fn after(&self, after: Duration, (message_id, body): Message) -> Planned {
        let (routing_key, correlation_id) = (self.request.asked.reply_to(), self.request.id.clone());
        Planned { after, apart: Duration::ZERO, routing_key, correlation_id, message_id, body }
    }

    /// Another final answer, sent this long after the first one.
    pub(super) fn second(&self, apart: Duration, message: Message) -> Planned {
        Planned { apart, ..self.after(self.behaviour.due + self.behaviour.latency + apart, message) }
    }
}

/// The `data` of a reply.
pub(super) fn data(request: &str, submission: u64, answer: &Final) -> Value {
    let data = json!({"request_id": request, "submission": submission, "status": answer.status()});
    let more = match answer {
        Final::Issued(id) => json!({"national_id": id, "national_id_kind": "uin"}),
        Final::Recorded => json!({}),
        Final::Rejected(code) => json!({"reason": {
            "code": code, "message": "The simulated ID system rejects this submission.", "fields": []
        }}),
    };
    with(data, more)
}

/// The whole message around [`data`], with a new id.
pub(super) fn event(data: &Value, now: Timestamp) -> Message {
    let id = Uuid::new_v4().to_string();
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "/simulated-id-system",
        "type": "crvs.nid.reply.v1",
        "time": now.to_string(),
        "datacontenttype": "application/json",
        "data": data
    });
    (id, event.to_string().into_bytes())
}
