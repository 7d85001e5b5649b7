//! The names on the broker, in one place: exchanges, queues, routing keys and headers.
//!
//! Invariant: a name is part of the contract with running brokers and with the vendor; a queue whose arguments
//! change gets a new name, because a broker refuses to redeclare it.

/// Exchange: front → record.
pub const REGISTRATIONS: &str = "registrations";
/// Exchange: record → send; the routing key is the ID system.
pub const REQUESTS: &str = "requests";
/// Exchange: whoever has an answer → resolve.
pub const REPLIES: &str = "replies";
/// Exchange: resolve → confirmer.
pub const OUTCOMES: &str = "outcomes";
/// Exchange: resolve → every front, for callers that wait; what is lost of it is only a faster copy.
pub const ANSWERS: &str = "answers";
/// Exchange and queue of what no binding of ours takes.
pub const UNROUTED: &str = "unrouted";
/// The routing key of an exchange that feeds a single work queue.
pub const WORK_KEY: &str = "work";

/// Queue of the record stage.
pub const REGISTRATIONS_WORK: &str = "registrations.work";
/// Queue of the resolve stage, in our own vhost.
pub const REPLIES_WORK: &str = "replies.work";
/// Queue of the confirmer.
pub const OUTCOMES_WORK: &str = "outcomes.work";
/// The ID system that is reached by the queue contract.
pub const AMQP_SYSTEM: &str = "amqp";

/// Exchange of the vendor's vhost: requests; the routing key is the event kind.
pub const NID_REQUESTS: &str = "nid.requests";
/// The event kinds a vendor is asked about, which are the routing keys of [`NID_REQUESTS`].
pub const NID_KINDS: [&str; 2] = ["birth", "death"];
/// Exchange and queue of the vendor's vhost: replies.
pub const NID_REPLIES: &str = "nid.replies";
/// What [`NID_REPLIES`] takes from the exchange of that name.
pub const NID_REPLY_KEYS: &str = "reply.*";

/// How the name of a parking place ends.
const PARKED: &str = ".parked";

/// Our vhost, where the URL names no other.
pub const BRIDGE_VHOST: &str = "nidbridge";
/// The vendor's vhost, where the URL names no other.
pub const NID_VHOST: &str = "nid";

/// Header: how often the message was tried before; absent is 0.
pub const ATTEMPT: &str = "x-attempt";
/// Header: when the message was received first, RFC 3339 or milliseconds since 1970.
pub const FIRST_SEEN: &str = "x-first-seen";
/// Header: why a message was delayed or parked.
pub const CAUSE: &str = "x-cause";
/// Header: when a message was parked.
pub const PARKED_AT: &str = "x-parked-at";
/// Header: the release that parked a message.
pub const WORKER_VERSION: &str = "x-worker-version";
/// Header: the exchange a parked message came by.
pub const ORIGINAL_EXCHANGE: &str = "x-original-exchange";
/// Header: the routing key a message came by before it was delayed or parked.
pub const ORIGINAL_KEY: &str = "x-original-routing-key";
/// Header: the queue that a parked message was in.
pub const ORIGINAL_QUEUE: &str = "x-original-queue";
/// Header: the user that the broker vouched for when the message came first; valid only on what we published.
pub const ORIGINAL_USER: &str = "x-original-user";
/// Header: when an operator sent a parked message back to work.
pub const REPLAYED_AT: &str = "x-replayed-at";
/// Header: who did.
pub const REPLAYED_BY: &str = "x-replayed-by";
/// Header: why.
pub const REPLAY_REASON: &str = "x-replay-reason";

/// All headers of ours.
pub const HEADERS: [&str; 9] = [
    ATTEMPT,
    FIRST_SEEN,
    CAUSE,
    PARKED_AT,
    WORKER_VERSION,
    ORIGINAL_EXCHANGE,
    ORIGINAL_KEY,
    ORIGINAL_QUEUE,
    ORIGINAL_USER,
];

/// The queue of the send stage of one ID system.
pub fn requests_work(system: &str) -> String {
    format!("{REQUESTS}.{system}.{WORK_KEY}")
}

/// The queue a vendor reads the requests of one kind from.
pub fn nid_requests(kind: &str) -> String {
    format!("{NID_REQUESTS}.{kind}")
}

/// Where what can go no further is kept for an operator.
pub fn parked(queue: &str) -> String {
    format!("{queue}{PARKED}")
}

/// The work queue that a parking place belongs to; nothing for a queue that is none.
pub fn work_of(parked: &str) -> Option<&str> {
    parked.strip_suffix(PARKED)
}
