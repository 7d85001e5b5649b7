//! What the vendor's user and vhost may take up on the broker.
//!
//! Invariant: whoever has the vendor's credential can neither fill the broker's disk nor use up the
//! connections that the bridge needs.

use crate::broker::{SizePolicy, UserLimits, VhostLimits};

/// Of the vendor's user. Fewer than the vhost allows, so that some are left for the bridge.
pub(super) const VENDOR: UserLimits = UserLimits { connections: 50, channels: 500 };

/// Of the vendor's vhost.
pub(super) fn vhost(vhost: &str) -> VhostLimits {
    VhostLimits { vhost: vhost.to_owned(), connections: 500, queues: 100 }
}

/// The size of each queue that a reply can get into.
pub(super) fn replies(vhost: &str) -> SizePolicy {
    SizePolicy {
        vhost: vhost.to_owned(),
        name: "nidbridge-replies",
        pattern: "^nid\\.replies(\\.|$)",
        bytes: 512 * 1024 * 1024,
    }
}
