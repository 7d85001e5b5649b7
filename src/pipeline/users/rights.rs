//! What the user of each role may do on the broker, made from the names of exchanges and queues.
//!
//! No role may publish to the default exchange, because whoever may do that may publish to every
//! queue. No role may declare anything, except a front its own queue for copies of answers; an
//! operator declares the rest with `nidbridge topology apply`.
//!
//! Invariant: a role has the permissions that its work needs, and no others.

use super::Role;
use crate::broker::{Permission, Topology};
use crate::pipeline::names::{self, AMQP_SYSTEM, settle_exchange};

/// What a user may do in one vhost: regular expressions, each for one name or a family of names.
#[derive(Default)]
struct Rights {
    configure: Vec<String>,
    write: Vec<String>,
    read: Vec<String>,
}

/// The permission of `user` in the vhost of this topology, or `None` if the role has nothing to do
/// there.
pub(super) fn permission(role: Role, user: &str, topology: &Topology) -> Option<Permission> {
    let is_vendors = topology.exchange_names().any(|name| name == names::NID_REPLIES);
    let rights = match (role, is_vendors) {
        (Role::Front, false) => front(),
        (Role::Worker, false) => worker(topology),
        (Role::Confirmer, false) => confirmer(),
        (Role::Worker, true) => worker_of_vendor(topology),
        (Role::Front | Role::Confirmer, true) => return None,
    };
    Some(Permission {
        user: user.to_owned(),
        vhost: topology.vhost().to_owned(),
        configure: any_of(&rights.configure),
        write: any_of(&rights.write),
        read: any_of(&rights.read),
    })
}

/// What the gate of every role needs: the retained message and the lock.
fn member() -> Rights {
    Rights {
        configure: Vec::new(),
        write: vec![exactly(names::DEPLOYMENT)],
        read: [names::DEPLOYMENT, names::DEPLOYMENT_LOCK].map(exactly).into(),
    }
}

fn front() -> Rights {
    let mut rights = member();
    // A queue for copies of answers: the exchange and a random part.
    let own = format!("{}\\.[0-9a-f]{{32}}", exactly(names::ANSWERS));
    rights.configure.push(own.clone());
    rights.write.extend([exactly(names::REGISTRATIONS), own.clone()]);
    rights.read.extend([exactly(names::ANSWERS), own]);
    rights
}

fn worker(topology: &Topology) -> Rights {
    let mut rights = member();
    let requests = names::requests_work(AMQP_SYSTEM);
    let consumed = [names::REGISTRATIONS_WORK, &requests, names::REPLIES_WORK];
    let published = [names::REQUESTS, names::OUTCOMES, names::ANSWERS];
    rights.write.extend(published.map(exactly));
    // Outcomes that come too early go to a delay queue of the confirmer.
    let delayed = consumed.iter().copied().chain([names::OUTCOMES_WORK]);
    rights.write.extend(delayed.map(|queue| exactly(&settle_exchange(queue))));
    rights.read.extend(consumed.map(exactly));
    rights.read.extend(parking_queues(topology));
    rights
}

fn worker_of_vendor(topology: &Topology) -> Rights {
    let settle = settle_exchange(names::NID_REPLIES);
    let mut read = vec![exactly(names::NID_REPLIES)];
    read.extend(parking_queues(topology));
    Rights { configure: Vec::new(), write: [names::NID_REQUESTS, &settle].map(exactly).into(), read }
}

fn confirmer() -> Rights {
    let mut rights = member();
    let settle = settle_exchange(names::OUTCOMES_WORK);
    // It takes in what no front has, and drives on what it finds behind an attempt that OpenCRVS
    // does not have.
    let published = [names::REGISTRATIONS, names::REQUESTS, names::OUTCOMES, names::ANSWERS, &settle];
    rights.write.extend(published.map(exactly));
    rights.read.push(exactly(names::OUTCOMES_WORK));
    rights
}

/// What the vendor may do in its own vhost: read requests and publish replies.
pub(super) fn vendor(user: &str, topology: &Topology) -> Permission {
    let read = names::NID_KINDS.map(|kind| exactly(&names::nid_requests(kind)));
    Permission {
        user: user.to_owned(),
        vhost: topology.vhost().to_owned(),
        configure: any_of(&[]),
        write: any_of(&[exactly(names::NID_REPLIES)]),
        read: any_of(&read),
    }
}

/// The parking watcher looks into these.
fn parking_queues(topology: &Topology) -> impl Iterator<Item = String> {
    let is_parking = |name: &&str| names::work_queue_of(name).is_some() || *name == names::UNROUTED;
    topology.queue_names().filter(is_parking).map(exactly)
}

/// A regular expression for this name. Names consist of letters, digits, `.`, `_` and `-`.
fn exactly(name: &str) -> String {
    name.replace('.', "\\.")
}

/// A regular expression for any of these, or for nothing if there are none.
fn any_of(alternatives: &[String]) -> String {
    match alternatives {
        [] => "^$".to_owned(),
        [only] => format!("^{only}$"),
        several => format!("^({})$", several.join("|")),
    }
}
