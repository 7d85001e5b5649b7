//! Writes topologies and users as the JSON that RabbitMQ loads at boot (`load_definitions`) or
//! imports.
//!
//! Invariant: a password is in the output only as a salted hash, and a user without a password is
//! left out.

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::limits::{SizePolicy, UserLimits, VhostLimits};
use super::topology::{Argument, Binding, Exchange, Queue, Topology};

#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    /// A user without a password must already exist and is not part of the definitions.
    pub password: Option<SecretString>,
    /// `administrator` gives access to the management API. Empty for a user of AMQP only.
    pub tag: &'static str,
    pub limits: Option<UserLimits>,
}

impl User {
    pub fn existing(name: impl Into<String>) -> Self {
        Self { name: name.into(), password: None, tag: "", limits: None }
    }

    /// A user that the import creates.
    pub fn new(name: impl Into<String>, password: SecretString) -> Self {
        Self { name: name.into(), password: Some(password), tag: "", limits: None }
    }
}

/// What a user may do in a vhost, as regular expressions over the names of exchanges and queues.
#[derive(Debug, Clone)]
pub struct Permission {
    pub user: String,
    pub vhost: String,
    pub configure: String,
    pub write: String,
    pub read: String,
}

impl Permission {
    pub fn everything(user: &User, vhost: &str) -> Self {
        let (user, vhost) = (user.name.clone(), vhost.to_owned());
        let [configure, write, read] = [(); 3].map(|()| ".*".to_owned());
        Self { user, vhost, configure, write, read }
    }
}

/// Which routing keys a user may use on a topic exchange, as regular expressions.
#[derive(Debug, Clone)]
pub struct TopicPermission {
    pub user: String,
    pub vhost: String,
    pub exchange: &'static str,
    pub write: &'static str,
    pub read: &'static str,
}

/// The users and what they may do.
#[derive(Debug, Clone, Default)]
pub struct Access {
    pub users: Vec<User>,
    pub permissions: Vec<Permission>,
    pub topic_permissions: Vec<TopicPermission>,
    pub vhost_limits: Vec<VhostLimits>,
    pub policies: Vec<SizePolicy>,
}

/// The definitions of all these vhosts, or `None` if the machine cannot provide random bytes for
/// the salt of a password.
pub fn definitions(topologies: &[Topology], access: &Access) -> Option<Value> {
    let mut users = Vec::new();
    for user in &access.users {
        if let Some(password) = &user.password {
            users.push(json!({
                "name": user.name, "password_hash": hash(password)?,
                "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": [user.tag],
                "limits": user.limits.map_or_else(|| json!({}), UserLimits::to_json),
            }));
        }
    }
    Some(json!({
        "users": users,
        "vhosts": each(topologies, |topology| vec![json!({"name": topology.vhost})]),
        "permissions": access.permissions.iter().map(permission).collect::<Vec<_>>(),
        "topic_permissions": access.topic_permissions.iter().map(topic_permission).collect::<Vec<_>>(),
        "parameters": access.vhost_limits.iter().map(VhostLimits::to_json).collect::<Vec<_>>(),
        "policies": access.policies.iter().map(SizePolicy::to_json).collect::<Vec<_>>(),
        "exchanges": each(topologies, |topology| all(topology, &topology.exchanges, exchange)),
        "queues": each(topologies, |topology| all(topology, &topology.queues, queue)),
        "bindings": each(topologies, |topology| all(topology, &topology.bindings, binding)),
    }))
}

fn each(topologies: &[Topology], list: impl Fn(&Topology) -> Vec<Value>) -> Vec<Value> {
    topologies.iter().flat_map(list).collect()
}

fn all<T>(topology: &Topology, items: &[T], describe: impl Fn(&str, &T) -> Value) -> Vec<Value> {
    items.iter().map(|item| describe(&topology.vhost, item)).collect()
}

fn permission(rule: &Permission) -> Value {
    json!({
        "user": rule.user, "vhost": rule.vhost,
        "configure": rule.configure, "write": rule.write, "read": rule.read,
    })
}

fn topic_permission(rule: &TopicPermission) -> Value {
    json!({
        "user": rule.user, "vhost": rule.vhost, "exchange": rule.exchange,
        "write": rule.write, "read": rule.read,
    })
}

fn exchange(vhost: &str, exchange: &Exchange) -> Value {
    let alternate = exchange.alternate.as_ref();
    let arguments = alternate.map_or_else(|| json!({}), |name| json!({"alternate-exchange": name}));
    json!({
        "name": exchange.name, "vhost": vhost, "type": exchange.kind.as_str(),
        "durable": true, "auto_delete": false, "internal": false, "arguments": arguments,
    })
}

fn queue(vhost: &str, queue: &Queue) -> Value {
    let argument = |(name, value): &(&'static str, Argument)| {
        let value = match value {
            Argument::Text(text) => json!(text),
            Argument::Number(number) => json!(number),
            Argument::Flag(flag) => json!(flag),
        };
        ((*name).to_owned(), value)
    };
    let arguments: Map<String, Value> = queue.arguments.iter().map(argument).collect();
    json!({
        "name": queue.name, "vhost": vhost, "type": "quorum",
        "durable": true, "auto_delete": false, "arguments": arguments,
    })
}

fn binding(vhost: &str, binding: &Binding) -> Value {
    json!({
        "source": binding.exchange, "vhost": vhost, "destination": binding.queue,
        "destination_type": "queue", "routing_key": binding.key, "arguments": {},
    })
}

/// Hashes a password in RabbitMQ's format: base64 of a 4-byte salt, followed by the SHA-256 of salt
/// and password.
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

    #[test]
    fn a_password_is_written_as_a_hash_that_can_be_checked() {
        let user = User::new("user", SecretString::from("secret"));
        let permissions = vec![Permission::everything(&user, "vhost")];
        let access = Access { users: vec![user], permissions, ..Access::default() };
        let made = definitions(&[Topology::empty("vhost")], &access).unwrap();
        assert!(!made.to_string().contains("secret"));
        let stored = STANDARD.decode(made["users"][0]["password_hash"].as_str().unwrap()).unwrap();
        let again = digest::digest(&digest::SHA256, &[&stored[..4], b"secret"].concat());
        assert_eq!(&stored[4..], again.as_ref());
    }
}
