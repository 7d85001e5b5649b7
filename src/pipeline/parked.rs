//! Reads from a message in a parking queue why it is there.
//!
//! Invariant: a detail is shown only if it is one that the bridge writes, because a vendor may write
//! anything there, even a person's name. The same goes for a message id: `Incoming::own_id`.

use super::names;
use crate::broker::{Incoming, headers};
use crate::domain::Cause;
use crate::nid::RefusedReply;

/// Why the message is in this parking queue: a stage parked it, its consumer rejected it, the
/// broker parked it after too many deliveries, or no queue took it.
pub fn parked_for(message: &Incoming, queue: &str) -> Cause {
    if queue == names::UNROUTED {
        return Cause::Unrouted;
    }
    // A delay also writes a cause, but only parking writes the time.
    let parked = message.headers.contains_key(headers::PARKED_AT);
    let cause = message.headers.get(headers::CAUSE).filter(|_| parked);
    cause.and_then(|cause| Cause::parse(cause)).unwrap_or_else(|| dead_lettered_for(message))
}

/// Why the broker itself moved the message. `x-last-death-reason` is new in RabbitMQ 3.13.
fn dead_lettered_for(message: &Incoming) -> Cause {
    let reason = |name| message.headers.get(name).map(String::as_str);
    match reason("x-last-death-reason").or_else(|| reason("x-first-death-reason")) {
        Some("rejected") => Cause::RejectedByConsumer,
        Some(_) | None => Cause::DeliveryLimit,
    }
}

/// What exactly was at fault when a stage parked the message, if it said so.
pub fn parked_detail(message: &Incoming) -> Option<String> {
    let detail =
        message.headers.get(headers::DETAIL).filter(|_| message.headers.contains_key(headers::PARKED_AT));
    detail.and_then(|detail| RefusedReply::parse(detail)).map(|detail| detail.to_string())
}
