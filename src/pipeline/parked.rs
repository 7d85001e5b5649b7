//! What a message in a parking queue tells about itself.
//!
//! Invariant: a message id is shown only if it is one of ours; a vendor's may be anything, even a
//! person's name.

use super::names;
use crate::broker::{Incoming, headers};
use crate::domain::Cause;

/// Why the message is in this parking queue: a stage parked it, the broker did after too many
/// deliveries, or no queue took it.
pub fn parked_for(message: &Incoming, queue: &str) -> Cause {
    if queue == names::UNROUTED {
        return Cause::Unrouted;
    }
    // A delay leaves a cause as well; only a stage that parks writes the time.
    let parked = message.headers.contains_key(headers::PARKED_AT);
    let cause = message.headers.get(headers::CAUSE).filter(|_| parked);
    cause.and_then(|cause| Cause::parse(cause)).unwrap_or(Cause::DeliveryLimit)
}

/// The id of the message, if it is one of ours: a UUID, with the number of the submission after a
/// `:` where it is a request.
pub fn own_id(message: &Incoming) -> Option<&str> {
    message.id.as_deref().filter(|id| {
        let uuid = id.split(':').next().unwrap_or_default();
        id.len() <= 48 && uuid::Uuid::try_parse(uuid).is_ok()
    })
}
