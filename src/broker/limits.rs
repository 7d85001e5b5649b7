//! What RabbitMQ allows a user, a vhost and its queues to take up, for the definitions.
//!
//! AMQP cannot set these limits. An operator imports the definitions, or sets them with
//! `rabbitmqctl`.

use serde_json::{Value, json};

/// How much one user may have open, in all vhosts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserLimits {
    pub connections: u32,
    pub channels: u32,
}

/// How much all users together may have in one vhost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VhostLimits {
    pub vhost: String,
    pub connections: u32,
    pub queues: u32,
}

/// The size in bytes of each queue whose name matches a regular expression. The queue then does
/// what its own arguments say: it refuses messages, or drops its oldest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizePolicy {
    pub vhost: String,
    pub name: &'static str,
    pub pattern: &'static str,
    pub bytes: u64,
}

impl UserLimits {
    pub(super) fn to_json(self) -> Value {
        json!({"max-connections": self.connections, "max-channels": self.channels})
    }
}

impl VhostLimits {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "vhost": self.vhost, "component": "vhost-limits", "name": "limits",
            "value": {"max-connections": self.connections, "max-queues": self.queues},
        })
    }
}

impl SizePolicy {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "vhost": self.vhost, "name": self.name, "pattern": self.pattern, "apply-to": "queues",
            "priority": 0, "definition": {"max-length-bytes": self.bytes},
        })
    }
}
