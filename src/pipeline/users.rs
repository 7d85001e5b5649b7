//! The users of the broker and their permissions.
//!
//! Invariant: the bridge's user may do everything in both vhosts; the user of a role may do only
//! what the role's work needs; the vendor's user may read requests and publish replies, and nothing
//! else.

mod limits;
mod rights;
mod role;

use serde_json::Value;

pub use role::Role;

use super::names;
use crate::broker::{self, Access, Permission, TopicPermission, Topology, User};

/// Who may use the vhosts.
#[derive(Debug, Clone)]
pub struct Users {
    /// For operators' commands, and for `nidbridge all`.
    pub bridge: User,
    pub vendor: User,
    /// A user for each role that runs as a process of its own.
    pub roles: Vec<(Role, User)>,
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
        let Self { bridge, vendor, roles, administrator } = self;
        let mut access = Access::default();
        for topology in topologies {
            let vhost = topology.vhost();
            access.permissions.push(Permission::everything(&bridge, vhost));
            access.permissions.extend(administrator.iter().map(|user| Permission::everything(user, vhost)));
            let of_role = |(role, user): &(Role, User)| rights::permission(*role, &user.name, topology);
            access.permissions.extend(roles.iter().filter_map(of_role));
            // The vendor's vhost is the one with the exchange for replies, whatever its name is.
            if topology.exchange_names().any(|name| name == names::NID_REPLIES) {
                access.vhost_limits.push(limits::vhost(vhost));
                access.policies.push(limits::replies(vhost));
                access.permissions.push(rights::vendor(&vendor.name, topology));
                access.topic_permissions.push(TopicPermission {
                    user: vendor.name.clone(),
                    vhost: vhost.to_owned(),
                    exchange: names::NID_REPLIES,
                    write: "^reply\\.",
                    read: "^$",
                });
            }
        }
        let administrator = administrator.map(|user| User { tag: "administrator", ..user });
        let roles = roles.into_iter().map(|(_, user)| user);
        let vendor = User { limits: Some(limits::VENDOR), ..vendor };
        access.users = [bridge].into_iter().chain(roles).chain([vendor]).chain(administrator).collect();
        access
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::topology::tests::both;
    use super::*;

    fn users() -> Users {
        Users {
            bridge: User::existing("bridge"),
            vendor: User::existing("vendor"),
            roles: Role::ALL.map(|role| (role, User::existing(role.name()))).into(),
            administrator: None,
        }
    }

    #[test]
    fn the_vendor_may_use_only_its_own_vhost_and_what_the_contract_names() {
        let made = users().definitions(&both()).unwrap();
        let vendors: Vec<_> =
            made["permissions"].as_array().unwrap().iter().filter(|rule| rule["user"] == "vendor").collect();
        assert_eq!(vendors.len(), 1);
        assert_eq!(vendors[0]["vhost"], "nid");
        assert_eq!(vendors[0]["configure"], "^$");
        assert_eq!(made["topic_permissions"][0]["write"], "^reply\\.");
        assert_eq!(made["users"], json!([]), "no password was given");
    }

    /// As in a listing of permissions on the broker, so that a change is seen in a review.
    #[test]
    fn the_user_of_a_role_may_do_exactly_this() {
        let made = users().definitions(&both()).unwrap();
        let of = |user: &str| {
            let rules = made["permissions"].as_array().unwrap().iter();
            let rules = rules.filter(|rule| rule["user"] == user);
            let parts = ["vhost", "configure", "write", "read"];
            rules.map(|rule| parts.map(|name| rule[name].as_str().unwrap())).collect::<Vec<_>>()
        };
        let front = [
            "nidbridge",
            "^answers\\.[0-9a-f]{32}$",
            "^(nidbridge\\.deployment|registrations|answers\\.[0-9a-f]{32})$",
            "^(nidbridge\\.deployment|nidbridge\\.deployment\\.turn|answers|answers\\.[0-9a-f]{32})$",
        ];
        assert_eq!(of("front"), [front]);
        let confirmer = [
            "nidbridge",
            "^$",
            "^(nidbridge\\.deployment|registrations|requests|outcomes|answers|outcomes\\.work\\.settle)$",
            "^(nidbridge\\.deployment|nidbridge\\.deployment\\.turn|outcomes\\.work)$",
        ];
        assert_eq!(of("confirmer"), [confirmer]);
        let worker = of("worker");
        let [ours, vendors] = worker[..] else { panic!("{worker:?}") };
        assert_eq!((ours[0], vendors[0], ours[1], vendors[1]), ("nidbridge", "nid", "^$", "^$"));
        assert_eq!(vendors[2], "^(nid\\.requests|nid\\.replies\\.settle)$");
        for rule in ours.iter().chain(&vendors) {
            assert!(!rule.contains(".*") && !rule.contains("default"), "{rule}");
        }
    }
}
