//! What a message in a parking place tells of itself.
//!
//! Invariant: an id that is not one of ours is never passed on; a vendor's may be anything, even a name.

use super::delivery::Incoming;
use super::names;
use crate::domain::Cause;

impl Incoming {
    /// Why it is in this parking place: because a stage parked it, or the broker after too many deliveries, or because no
    /// queue takes it.
    pub fn parked_for(&self, queue: &str) -> Cause {
        if queue == names::UNROUTED {
            return Cause::Unrouted;
        }
        // A delay leaves a cause as well, but only a stage that parks says when.
        let parked = self.headers.get(names::CAUSE).filter(|_| self.headers.contains_key(names::PARKED_AT));
        parked.and_then(|cause| Cause::parse(cause)).unwrap_or(Cause::DeliveryLimit)
    }

    /// Its id, if it is one of ours.
    pub fn own_id(&self) -> Option<&str> {
        self.id.as_deref().filter(|id| {
            let uuid = id.split(':').next().unwrap_or_default();
            id.len() <= 48 && uuid::Uuid::try_parse(uuid).is_ok()
        })
    }
}
