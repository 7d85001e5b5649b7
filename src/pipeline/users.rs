//! The users of the broker and their permissions.
//!
//! Invariant: the bridge's user may do everything in both vhosts; the vendor's user may read
//! requests and publish replies, and nothing else.

use serde_json::Value;

use super::names;
use crate::broker::{self, Access, Permission, TopicPermission, Topology, User};

/// Who may use the vhosts.
#[derive(Debug, Clone)]
pub struct Users {
    pub bridge: User,
    pub vendor: User,
    /// A user that may do everything, also through the management API. Only for private brokers.
    pub administrator: Option<User>,
}

impl Users {
    /// Topologies and users as the JSON that RabbitMQ imports, or `None` if the machine cannot
    /// provide random bytes for a salt.
    pub fn definitions(self, topologies: &[Topology]) -> Option<Value> {
        broker::definitions(topologies, &self.access(topologies))
    }

    fn access(self, topologies: &[Topology]) -> Access {
        let Self { bridge, vendor, administrator } = self;
        let (mut permissions, mut topic_permissions) = (Vec::new(), Vec::new());
        for topology in topologies {
            let vhost = topology.vhost();
            permissions.push(Permission::everything(&bridge, vhost));
            permissions.extend(administrator.iter().map(|user| Permission::everything(user, vhost)));
            // The vendor's vhost is the one with the exchange for replies, whatever its name is.
            if topology.exchange_names().any(|name| name == names::NID_REPLIES) {
                permissions.push(Permission {
                    user: vendor.name.clone(),
                    vhost: vhost.to_owned(),
                    configure: "^$",
                    write: "^nid\\.replies$",
                    read: "^nid\\.requests\\.(birth|death)$",
                });
                topic_permissions.push(TopicPermission {
                    user: vendor.name.clone(),
                    vhost: vhost.to_owned(),
                    exchange: names::NID_REPLIES,
                    write: "^reply\\.",
                    read: "^$",
                });
            }
        }
        let administrator = administrator.map(|user| User { tag: "administrator", ..user });
        let users = [Some(bridge), Some(vendor), administrator].into_iter().flatten().collect();
        Access { users, permissions, topic_permissions }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::topology::tests::both;
    use super::*;

    #[test]
    fn the_vendor_may_use_only_its_own_vhost_and_what_the_contract_names() {
        let users =
            Users { bridge: User::existing("bridge"), vendor: User::existing("vendor"), administrator: None };
        let made = users.definitions(&both()).unwrap();
        let vendors: Vec<_> =
            made["permissions"].as_array().unwrap().iter().filter(|rule| rule["user"] == "vendor").collect();
        assert_eq!(vendors.len(), 1);
        assert_eq!(vendors[0]["vhost"], "nid");
        assert_eq!(vendors[0]["configure"], "^$");
        assert_eq!(made["topic_permissions"][0]["write"], "^reply\\.");
        assert_eq!(made["users"], json!([]), "no password was given");
    }
}
