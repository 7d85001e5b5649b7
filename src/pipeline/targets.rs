//! Where each message is published: exchange and routing key.
//!
//! Invariant: every exchange here is declared in [`topology`](super::topology).

use super::names;
use crate::broker::Target;

/// front → record stage.
pub fn registrations() -> Target {
    Target::new(names::REGISTRATIONS, names::WORK_KEY)
}

/// record stage → send stage of one ID system.
pub fn requests(system: &str) -> Target {
    Target::new(names::REQUESTS, system)
}

/// A copy of a request that is sent.
pub fn requests_sent(system: &str) -> Target {
    Target::new(names::REQUESTS, names::requests_sent_key(system))
}

/// resolve stage → confirmer.
pub fn outcomes() -> Target {
    Target::new(names::OUTCOMES, names::WORK_KEY)
}

/// resolve stage → all fronts.
pub fn answers() -> Target {
    Target::new(names::ANSWERS, "")
}

/// send stage → vendor, in the vendor's vhost; `kind` is one of [`names::NID_KINDS`].
pub fn nid_requests(kind: &str) -> Target {
    Target::new(names::NID_REQUESTS, kind)
}

/// vendor → resolve stage, in the vendor's vhost; `reply_to` is taken from the request.
pub fn nid_replies(reply_to: &str) -> Target {
    Target::new(names::NID_REPLIES, reply_to)
}
