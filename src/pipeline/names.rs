//! The names on the broker, in one place: vhosts, exchanges, queues and routing keys.
//!
//! Invariant: a name is part of the contract with running brokers and with the vendor. A queue
//! whose arguments change gets a new name, because a broker refuses to redeclare it.

pub use crate::broker::{parking_queue, settle_exchange};
use crate::nid::RequestKind;

/// Our own vhost, unless the URL names another.
pub const BRIDGE_VHOST: &str = "nidbridge";
/// The vendor's vhost, unless the URL names another.
pub const NID_VHOST: &str = "nid";

/// Exchange: front → record stage.
pub const REGISTRATIONS: &str = "registrations";
/// Exchange: record stage → send stage. The routing key is the ID system.
pub const REQUESTS: &str = "requests";
/// Exchange: any source of replies → resolve stage.
pub const REPLIES: &str = "replies";
/// Exchange: resolve stage → confirmer.
pub const OUTCOMES: &str = "outcomes";
/// Exchange: resolve stage → every front, for callers that wait. A lost message costs only time,
/// because it is a copy.
pub const ANSWERS: &str = "answers";
/// Exchange and queue: messages that no binding in our vhost takes.
pub const UNROUTED: &str = "unrouted";
/// Queue: one retained message that says which ledger and which sealing keys this broker serves;
/// and the exchange through which it and [`DEPLOYMENT_LOCK`] are written.
pub const DEPLOYMENT: &str = "nidbridge.deployment";
/// Queue: the lock of [`DEPLOYMENT`].
pub const DEPLOYMENT_LOCK: &str = "nidbridge.deployment.turn";
/// The routing key of an exchange that feeds a single work queue.
pub const WORK_KEY: &str = "work";

/// Queue of the record stage.
pub const REGISTRATIONS_WORK: &str = "registrations.work";
/// Queue of the resolve stage in our own vhost.
pub const REPLIES_WORK: &str = "replies.work";
/// Queue of the confirmer.
pub const OUTCOMES_WORK: &str = "outcomes.work";
/// The ID system that is reached through the queue contract.
pub const AMQP_SYSTEM: &str = "amqp";

/// Exchange in the vendor's vhost: requests. The routing key is the event kind.
pub const NID_REQUESTS: &str = "nid.requests";
/// The event kinds that a vendor is asked about, which are the routing keys of [`NID_REQUESTS`].
pub const NID_KINDS: [&str; 2] = [RequestKind::BIRTH.name, RequestKind::DEATH.name];
/// Exchange and queue in the vendor's vhost: replies.
pub const NID_REPLIES: &str = "nid.replies";
/// Queue in the vendor's vhost: replies that cannot be applied. At its limits it drops the oldest, so
/// that a vendor cannot stop genuine replies, nor fill the disk, with others.
pub const NID_REFUSED: &str = "nid.replies.refused";
/// The binding key of the queue [`NID_REPLIES`].
pub const NID_REPLY_KEYS: &str = "reply.*";

/// The work queue whose messages are parked in this queue; `None` for a queue of any other kind.
pub fn work_queue_of(parking_queue: &str) -> Option<&str> {
    match parking_queue {
        NID_REFUSED => Some(NID_REPLIES),
        other => crate::broker::work_queue_of(other),
    }
}

/// The queue of the send stage of one ID system.
pub fn requests_work(system: &str) -> String {
    format!("{REQUESTS}.{system}.{WORK_KEY}")
}

/// Queue: copies of the requests that were sent to one ID system, which `nidbridge recover
/// --unknown` reads.
pub fn requests_sent(system: &str) -> String {
    format!("{REQUESTS}.{system}.sent")
}

/// The routing key of [`REQUESTS`] for [`requests_sent`].
pub fn requests_sent_key(system: &str) -> String {
    format!("{system}.sent")
}

/// The queue from which a vendor reads the requests of one event kind.
pub fn nid_requests(kind: &str) -> String {
    format!("{NID_REQUESTS}.{kind}")
}
