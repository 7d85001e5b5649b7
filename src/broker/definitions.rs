//! Topologies and users as the JSON that RabbitMQ loads at boot (`load_definitions`) or imports.
//!
//! Invariant: the bridge's user has all of both vhosts; the vendor's user can read requests and publish replies, and
//! nothing else. A password is in the output only as a salted hash, and only where one was given.

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::names;
use super::topology::{Argument, Topology};

/// A user of the broker.
#[derive(Debug, Clone)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password; without one the user is expected to exist.
    pub password: Option<SecretString>,
}

impl User {
    /// A user that exists.
    pub fn existing(name: impl Into<String>) -> Self {
        Self { name: name.into(), password: None }
    }

    /// A user to be made.
    pub fn new(name: impl Into<String>, password: SecretString) -> Self {
        Self { name: name.into(), password: Some(password) }
    }
}

/// Who may use the vhosts.
#[derive(Debug, Clone)]
pub struct Users {
    /// The bridge's own.
    pub bridge: User,
    /// The vendor's.
    pub vendor: User,
    /// One that may do everything, also over HTTP: for private nodes.
    pub administrator: Option<User>,
}

/// The definitions of all these vhosts.
///
/// `None` only where the machine has no randomness for the salt of a password.
pub fn definitions(topologies: &[Topology], users: &Users) -> Option<Value> {
    let made = [
        (Some(&users.bridge), ""),
        (Some(&users.vendor), ""),
        (users.administrator.as_ref(), "administrator"),
    ];
    let mut accounts = Vec::new();
    for (user, tags) in made {
        if let Some((user, password)) = user.and_then(|user| Some((user, user.password.as_ref()?))) {
            accounts.push(json!({
                "name": user.name, "password_hash": hash(password)?,
                "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": [tags],
            }));
        }
    }
    Some(json!({
        "users": accounts,
        "vhosts": each(topologies, |topology| vec![json!({"name": topology.vhost})]),
        "permissions": each(topologies, |topology| permissions(topology, users)),
        "topic_permissions": each(topologies, |topology| topic_permissions(topology, users)),
        "exchanges": each(topologies, exchanges),
        "queues": each(topologies, queues),
        "bindings": each(topologies, bindings),
    }))
}

fn each(topologies: &[Topology], list: impl Fn(&Topology) -> Vec<Value>) -> Vec<Value> {
    topologies.iter().flat_map(list).collect()
}

fn permissions(topology: &Topology, users: &Users) -> Vec<Value> {
    let all = |user: &User| json!({"user": user.name, "vhost": topology.vhost, "configure": ".*", "write": ".*", "read": ".*"});
    let mut list = vec![all(&users.bridge)];
    list.extend(users.administrator.as_ref().map(all));
    if topology.vendors {
        list.push(json!({
            "user": users.vendor.name, "vhost": topology.vhost,
            "configure": "^$", "write": "^nid\\.replies$", "read": "^nid\\.requests\\.(birth|death)$",
        }));
    }
    list
}

fn topic_permissions(topology: &Topology, users: &Users) -> Vec<Value> {
    if !topology.vendors {
        return Vec::new();
    }
    vec![json!({
        "user": users.vendor.name, "vhost": topology.vhost, "exchange": names::NID_REPLIES,
        "write": "^reply\\.", "read": "^$",
    })]
}

fn exchanges(topology: &Topology) -> Vec<Value> {
    let describe = |exchange: &super::topology::Exchange| {
        let arguments = exchange
            .alternate
            .map_or_else(|| json!({}), |alternate| json!({"alternate-exchange": alternate}));
        json!({
            "name": exchange.name, "vhost": topology.vhost, "type": exchange.kind.as_str(),
            "durable": true, "auto_delete": false, "internal": false, "arguments": arguments,
        })
    };
    topology.exchanges.iter().map(describe).collect()
}

fn queues(topology: &Topology) -> Vec<Value> {
    let describe = |queue: &super::topology::Queue| {
        let arguments: serde_json::Map<String, Value> = queue
            .arguments
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Argument::Text(text) => json!(text),
                    Argument::Number(number) => json!(number),
                };
                ((*name).to_owned(), value)
            })
            .collect();
        json!({
            "name": queue.name, "vhost": topology.vhost, "type": "quorum",
            "durable": true, "auto_delete": false, "arguments": arguments,
        })
    };
    topology.queues.iter().map(describe).collect()
}

fn bindings(topology: &Topology) -> Vec<Value> {
    let describe = |binding: &super::topology::Binding| {
        json!({
            "source": binding.exchange, "vhost": topology.vhost, "destination": binding.queue,
            "destination_type": "queue", "routing_key": binding.key, "arguments": {},
        })
    };
    topology.bindings.iter().map(describe).collect()
}

/// RabbitMQ's form: base64 of a 4-byte salt and the SHA-256 of salt and password.
fn hash(password: &SecretString) -> Option<String> {
    let mut salt = [0_u8; 4];
    rand::fill(&mut salt).ok()?;
    let mut salted = digest::Context::new(&digest::SHA256);
    salted.update(&salt);
    salted.update(password.expose_secret().as_bytes());
    let mut stored = salt.to_vec();
    stored.extend_from_slice(salted.finish().as_ref());
    Some(STANDARD.encode(stored))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topology::tests::settings;

    fn both() -> Vec<Topology> {
        vec![Topology::bridge(&settings(), &["amqp"]), Topology::national_id(&settings())]
    }

    #[test]
    fn the_vendor_reaches_its_own_vhost_and_only_what_the_contract_names() {
        let users =
            Users { bridge: User::existing("bridge"), vendor: User::existing("vendor"), administrator: None };
        let made = definitions(&both(), &users).unwrap();
        let vendors: Vec<_> =
            made["permissions"].as_array().unwrap().iter().filter(|rule| rule["user"] == "vendor").collect();
        assert_eq!(vendors.len(), 1);
        assert_eq!(vendors[0]["vhost"], "nid");
        assert_eq!(vendors[0]["configure"], "^$");
        assert_eq!(made["topic_permissions"][0]["write"], "^reply\\.");
        assert_eq!(made["users"], json!([]), "no password was given");
    }

    #[test]
    fn a_password_is_there_as_a_hash_that_can_be_checked() {
        let users = Users {
            bridge: User::new("bridge", SecretString::from("secret")),
            vendor: User::existing("vendor"),
            administrator: None,
        };
        let made = definitions(&both(), &users).unwrap();
        assert!(!made.to_string().contains("secret"));
        let stored = STANDARD.decode(made["users"][0]["password_hash"].as_str().unwrap()).unwrap();
        let again = digest::digest(&digest::SHA256, &[&stored[..4], b"secret"].concat());
        assert_eq!(&stored[4..], again.as_ref());
    }
}
