//! Why a reply is refused, and the text that says so in the parking queue.
//!
//! Invariant: neither contains a text from the reply, since that may name a person.

use std::fmt;

use crate::domain::RequestId;

/// All values of [`Malformed::part`].
const PARTS: [&str; 22] = [
    TOO_LONG,
    TOO_COSTLY,
    // As earlier releases wrote it.
    "too long",
    NO_OBJECT,
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "datacontenttype",
    "data",
    "request_id",
    "submission",
    "status",
    "national_id",
    "national_id_kind",
    "nid_reference",
    "reason",
    "retry_after_s",
    "reason.code",
    "reason.message",
    "reason.fields",
];
const TOO_LONG: &str = "longer than NID_REPLY_MAX_BYTES";
const TOO_COSTLY: &str = "more values than any reply";
const NO_OBJECT: &str = "no JSON object";

/// Why a message is not a reply. Contains no text from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the reply is longer than {max} bytes")]
    TooLong { max: usize },
    /// The reply would take more memory than any reply needs.
    #[error("the reply has more values than any reply: send only the members of reply.v1.json")]
    TooCostly,
    #[error("the reply is not a JSON object")]
    NotJson,
    #[error("`{0}` is missing or does not match reply.v1.json")]
    Member(&'static str),
}

impl Malformed {
    /// The member of the reply that is at fault, or what is wrong with the reply as a whole.
    pub fn part(self) -> &'static str {
        match self {
            Self::TooLong { .. } => TOO_LONG,
            Self::TooCostly => TOO_COSTLY,
            Self::NotJson => NO_OBJECT,
            Self::Member(name) => name,
        }
    }
}

/// The fault of a refused reply, and the request that the reply names. Its text is stored with the
/// parked reply and shown to operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedReply {
    pub part: &'static str,
    pub request: Option<RequestId>,
}

impl RefusedReply {
    /// Reads the text that `Display` writes. Any other text may be the vendor's, so it is refused
    /// and not shown.
    pub fn parse(text: &str) -> Option<Self> {
        let (part, request) = match text.split_once(REQUEST) {
            Some((part, request)) => (part, Some(RequestId::parse(request).ok()?)),
            None => (text, None),
        };
        let part = PARTS.into_iter().find(|known| *known == part)?;
        Some(Self { part, request }).filter(|read| read.to_string() == text)
    }
}

const REQUEST: &str = ", request ";

impl fmt::Display for RefusedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.part)?;
        self.request.map_or(Ok(()), |request| write!(f, "{REQUEST}{request}"))
    }
}
