//! The places that the bridge writes to: logs, metrics, ledger, messages.

use nidbridge::pipeline::names;
use std::path::Path;

use nidbridge::broker::{Incoming, Link};
use serde_json::Value;

use super::canaries::Canaries;
use crate::harness::world::World;

/// Queues that get a copy of every published message, in our vhost and in the vendor's.
pub struct Spies {
    ours: Vec<String>,
    requests: String,
}

const EXCHANGES: [(&str, &str); 5] = [
    (names::REGISTRATIONS, names::WORK_KEY),
    (names::REQUESTS, names::AMQP_SYSTEM),
    (names::REPLIES, names::WORK_KEY),
    (names::OUTCOMES, names::WORK_KEY),
    (names::ANSWERS, ""),
];

impl Spies {
    /// Binds the queues. The topology must exist already.
    pub fn at(world: &World) -> Self {
        let vhosts = world.vhosts();
        let spy = |vhost: &str, exchange: &str, keys: &[&str]| {
            let queue = format!("spy.{exchange}");
            vhosts.api().must("PUT", &format!("/queues/{vhost}/{queue}"), r#"{"durable":true}"#);
            for key in keys {
                let body = format!("{{\"routing_key\":\"{key}\"}}");
                vhosts.api().must("POST", &format!("/bindings/{vhost}/e/{exchange}/q/{queue}"), &body);
            }
            queue
        };
        let ours = EXCHANGES.iter().map(|(exchange, key)| spy(&vhosts.bridge, exchange, &[key])).collect();
        let requests = spy(&vhosts.vendor, names::NID_REQUESTS, &names::NID_KINDS);
        Self { ours, requests }
    }

    /// Every message in the queues of our vhost, and the parked ones in the vendor's.
    pub async fn messages(&self, world: &World) -> Vec<(String, Vec<u8>)> {
        let vhosts = world.vhosts();
        let listed = vhosts.api().must("GET", &format!("/queues/{}", vhosts.bridge), "");
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        // The queue of a front is exclusive. A queue of this value gets copies of the same
        // messages.
        let queues = listed.iter().filter(|queue| queue["exclusive"] != true);
        // Nothing is published to the lock of the deployment, and the broker lets nobody peek into
        // it.
        let queues = queues.filter(|queue| queue["name"] != names::DEPLOYMENT_LOCK);
        let queues = queues.map(|queue| queue["name"].as_str().unwrap().to_owned());
        let mut places = Vec::new();
        let look = world.look().await;
        for queue in queues {
            places.extend(peek(&look, &queue).await);
        }
        assert!(self.ours.iter().all(|spy| listed.iter().any(|queue| queue["name"] == spy.as_str())));
        let parked = peek(&world.look_nid().await, names::NID_REFUSED).await;
        assert!(!parked.is_empty(), "nothing is parked");
        places.extend(parked);
        places
    }

    pub async fn requests(&self, world: &World) -> Vec<Value> {
        let seen = world.look_nid().await.peek(&self.requests, 1_000).await.unwrap();
        seen.iter().map(|message| serde_json::from_slice(&message.body).unwrap()).collect()
    }
}

async fn peek(link: &Link, queue: &str) -> Vec<(String, Vec<u8>)> {
    let seen = link.peek(queue, 1_000).await.unwrap();
    seen.iter().map(|message| (format!("a message in {queue}"), bytes(message))).collect()
}

/// The body and the properties of a message, as text.
fn bytes(message: &Incoming) -> Vec<u8> {
    let around = [&message.id, &message.kind, &message.correlation_id, &message.user_id];
    let mut bytes = format!("{around:?} {:?} {}", message.headers, message.routing_key).into_bytes();
    bytes.extend_from_slice(&message.body);
    bytes
}

pub fn of_the_roles(world: &World) -> Vec<(String, Vec<u8>)> {
    let metrics = |role| (format!("/metrics of {role}"), world.metrics_text(role).into_bytes());
    ["front", "worker", "confirmer"].map(metrics).into()
}

/// The bytes of the logs and of the database file.
pub fn of_the_files(world: &World) -> Vec<(String, Vec<u8>)> {
    let ledger = Path::new(world.ledger_url().trim_start_matches("sqlite:")).parent().unwrap();
    let mut files = Vec::new();
    for dir in [&world.dir, ledger] {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            files.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap()));
        }
    }
    files
}

/// The JSON pointers of the members that the contract allows in a request.
const MAPPED: [&str; 24] = [
    "/specversion",
    "/id",
    "/source",
    "/type",
    "/time",
    "/datacontenttype",
    "/data/submission",
    "/data/expires_at",
    "/data/registration/number",
    "/data/registration/registered_on",
    "/data/registration/office_code",
    "/data/subject/name/full",
    "/data/subject/name/given",
    "/data/subject/name/family",
    "/data/subject/name/lang",
    "/data/subject/date_of_birth",
    "/data/subject/sex",
    "/data/subject/place_of_birth/*",
    "/data/subject/national_id",
    "/data/subject/date_of_death",
    "/data/parents/*/role",
    "/data/parents/*/national_id",
    "/data/parents/*",
    "/data/subject/place_of_birth",
];

/// Checks that the requests hold only fields of the contract, no token, and no name but the
/// child's.
pub fn only_mapped_fields(requests: &[Value], canaries: &Canaries) {
    assert!(requests.len() >= 6, "{} requests", requests.len());
    for request in requests {
        let mut members = Vec::new();
        paths(request, "", &mut members);
        for (path, value) in members {
            assert!(MAPPED.contains(&path.as_str()), "{path} is not of the contract");
            let found = canaries.found_in(&path, value.as_bytes());
            let may = path.starts_with("/data/subject/name/") || path.ends_with("/national_id");
            assert!(may || found.is_empty(), "{found:?}");
            assert!(!found.iter().any(|one| one.contains("token")), "{found:?}");
        }
        let named = request.pointer("/data/subject/name").is_some();
        assert_eq!(named, request["type"] == "crvs.nid.birth.request.v1", "of the dead the ID is enough");
    }
}

fn paths(value: &Value, path: &str, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                paths(member, &format!("{path}/{name}"), into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{path}/*"), into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            into.push((path.to_owned(), value.to_string()));
        }
    }
}
