//! Least privilege: the roles do all their work with the rights that the recipes give them, and
//! nobody can do more with their credentials.

mod exposed;
mod flood;
mod hosts;

use std::collections::BTreeMap;
use std::sync::Arc;

use nidbridge::broker::{
    BrokerError, Link, LinkSettings, NotSent, Outgoing, PublishError, Reached, Target, Topology, Unobserved,
};
use nidbridge::pipeline::{Role, names};
use nidbridge::sandbox::opencrvs::{Calls, Fault, Status, SubmitOptions};
use nidbridge::sandbox::population::Kind;
use secrecy::{ExposeSecret as _, SecretString};

use crate::front::wire::{send, taken_down};
use crate::harness::ledgers::Engine;
use crate::harness::vhosts::connected;
use crate::harness::world::{SOON, World};
use crate::harness::{Vhosts, eventually};
use crate::pipeline::{ends_as, people, stands_as};

const ROLES: [(&str, Role); 3] =
    [("front", Role::Front), ("worker", Role::Worker), ("confirmer", Role::Confirmer)];

/// Declares both vhosts as an operator, then lets each role connect with its own user only.
pub async fn with_own_users(world: &mut World) {
    assert_eq!(world.run(&["topology", "apply"], &[]).await.0, Some(0));
    world.vhosts().permit_roles().await;
    world.set("BROKER_APPLY_TOPOLOGY", "false");
    world.unset("NID_AMQP_URL");
    for (name, role) in ROLES {
        let url = world.vhosts().role_url(role, &world.vhosts().bridge);
        world.set_for(name, "AMQP_URL", url.expose_secret());
    }
    let vendors = world.vhosts().role_url(Role::Worker, &world.vhosts().vendor);
    world.set_for("worker", "NID_AMQP_URL", vendors.expose_secret());
    // The other two have no business in the vendor's vhost.
    for name in ["front", "confirmer"] {
        world.set_for(name, "NID_AMQP_URL", "amqp://nobody:nothing@127.0.0.1:1/nid");
    }
}

fn message(id: &str) -> Outgoing {
    Outgoing {
        id: id.to_owned(),
        kind: "outcome.v1",
        content_type: "application/json",
        correlation_id: None,
        headers: BTreeMap::new(),
        body: b"{}".to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_works_with_a_user_of_its_own_for_each_role() {
    let mut world =
        World::empty(Engine::Postgres, &[("FRONT_WAIT", "birth=8s"), ("SEND_CHECK", "true")]).await;
    with_own_users(&mut world).await;
    for (role, _) in ROLES {
        world.start(role);
    }
    for (role, _) in ROLES {
        world.ready(role).await;
    }
    crate::waiting::listens(&world).await;

    // The front's own queue of answers.
    let birth = people(Kind::Birth, 1, 811).remove(0);
    let submission = taken_down(&world, &birth).await;
    assert_eq!(send(&world.front, &submission).await.status, 200);
    ends_as(&world, &birth.record, Status::Registered).await;

    // The delay queues of each stage: the gateway fails for the worker and for the confirmer.
    world.opencrvs.faults().next(Calls::Fetch, 3, Fault::http(503));
    world.opencrvs.faults().next(Calls::Confirm, 1, Fault::http(503));
    for death in people(Kind::Death, 3, 812) {
        world.opencrvs.submit(&death, &world.front, SubmitOptions::default()).await.unwrap();
        ends_as(&world, &death.record, Status::Registered).await;
        stands_as(&world, &death.record, "confirmed").await;
    }

    // The parking queues of both vhosts.
    let vendor = world.vendor_link().await;
    let reply = Target::new(names::NID_REPLIES, "reply.birth");
    vendor.publisher().publish(&reply, message("no reply")).await.unwrap();
    let look = world.look().await;
    look.publisher().publish(&Target::queue(names::OUTCOMES_WORK), message("no outcome")).await.unwrap();
    let nid = world.look_nid().await;
    let outcomes = names::parking_queue(names::OUTCOMES_WORK);
    for (link, parked) in [(&nid, names::NID_REFUSED), (&look, &outcomes)] {
        let there = async || (link.depth(parked).await.ok()?.ready == 1).then_some(());
        eventually(SOON, parked, there).await;
    }
    world.assert_all_run();
    for (role, _) in ROLES {
        let log = world.log_text(role);
        // Each connect tries once whether the user may declare an exchange.
        let declares = "class_id: 40, method_id: 10";
        let refused = |line: &&str| line.contains("ACCESS_REFUSED") && !line.contains(declares);
        let refused: Vec<&str> = log.lines().filter(refused).collect();
        assert!(refused.is_empty() && !log.contains("grant it"), "{role}: {refused:?}");
    }
}

/// What somebody who has a credential can try in a vhost.
struct Thief {
    who: &'static str,
    link: Link,
}

impl Thief {
    async fn with(who: &'static str, url: SecretString, vhost: &str) -> Self {
        let settings = LinkSettings { apply_topology: false, ..LinkSettings::new("thief", url) };
        let link = Link::open(&settings, Topology::empty(vhost), Arc::new(Unobserved));
        Self { who, link: connected(link).await }
    }

    async fn cannot_read(&self, queue: &str) {
        let taken = self.link.take(queue).await;
        let Err(BrokerError::Refused(cause)) = taken else { panic!("{} reads {queue}", self.who) };
        assert!(cause.to_string().contains("ACCESS_REFUSED"), "{}: {queue}: {cause}", self.who);
    }

    async fn cannot_publish(&self, to: Target) {
        let sent = self.link.publisher().publish(&to, message("stolen")).await;
        let denied = matches!(sent, Err(PublishError::NotSent(NotSent::Denied { .. })));
        assert!(denied, "{} publishes to {to:?}: {sent:?}", self.who);
    }

    async fn cannot_declare(&self, vhosts: &Vhosts) {
        let mut own = Topology::empty("thief");
        own.add_parking_queue("of-a-thief", &vhosts.settings.limits);
        let declared = self.link.apply(&own).await;
        assert!(matches!(declared, Err(BrokerError::Declare { .. })), "{}: {declared:?}", self.who);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_credential_of_a_role_reads_and_writes_only_what_the_role_does() {
    use names::{
        NID_REPLIES, NID_REQUESTS, OUTCOMES, OUTCOMES_WORK, REGISTRATIONS, REGISTRATIONS_WORK, REPLIES,
        REPLIES_WORK, REQUESTS, UNROUTED, WORK_KEY,
    };
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    with_own_users(&mut world).await;
    let vhosts = world.vhosts();
    let (ours, vendors) = (vhosts.bridge.as_str(), vhosts.vendor.as_str());
    let requests_work = names::requests_work(names::AMQP_SYSTEM);
    let requests_sent = names::requests_sent(names::AMQP_SYSTEM);

    let front = Thief::with("front", vhosts.role_url(Role::Front, ours), ours).await;
    for queue in [REGISTRATIONS_WORK, &requests_work, &requests_sent, REPLIES_WORK, OUTCOMES_WORK, UNROUTED] {
        front.cannot_read(queue).await;
    }
    for exchange in [REQUESTS, REPLIES, OUTCOMES] {
        front.cannot_publish(Target::new(exchange, WORK_KEY)).await;
    }

    let worker = Thief::with("worker", vhosts.role_url(Role::Worker, ours), ours).await;
    worker.cannot_read(OUTCOMES_WORK).await;
    worker.cannot_read(&requests_sent).await;
    worker.cannot_publish(Target::new(REGISTRATIONS, WORK_KEY)).await;

    let confirmer = Thief::with("confirmer", vhosts.role_url(Role::Confirmer, ours), ours).await;
    for queue in [REGISTRATIONS_WORK, &requests_work, &requests_sent, REPLIES_WORK, UNROUTED] {
        confirmer.cannot_read(queue).await;
    }
    confirmer.cannot_publish(Target::new(REPLIES, WORK_KEY)).await;

    let asking = Thief::with("worker at the vendor's", vhosts.role_url(Role::Worker, vendors), vendors).await;
    asking.cannot_read("nid.requests.birth").await;
    asking.cannot_publish(Target::new(NID_REPLIES, "reply.birth")).await;

    let vendor = Thief::with("vendor", vhosts.vendor_url(), vendors).await;
    vendor.cannot_read(NID_REPLIES).await;
    vendor.cannot_read(names::NID_REFUSED).await;
    vendor.cannot_publish(Target::new(NID_REQUESTS, "birth")).await;
    vendor.cannot_publish(Target::new(NID_REPLIES, "outcome")).await;

    for thief in [&front, &worker, &confirmer, &asking, &vendor] {
        thief.cannot_declare(vhosts).await;
        // Whoever may publish to the default exchange may publish to every queue.
        thief.cannot_publish(Target::queue(OUTCOMES_WORK)).await;
    }
    let elsewhere = [
        ("the vendor", ours, vhosts.vendor_url().expose_secret().replace(vendors, ours)),
        ("the front", vendors, vhosts.role_url(Role::Front, vendors).expose_secret().to_owned()),
        ("the confirmer", vendors, vhosts.role_url(Role::Confirmer, vendors).expose_secret().to_owned()),
    ];
    for (who, vhost, url) in elsewhere {
        let reached = LinkSettings::new("thief", SecretString::from(url)).reach().await;
        assert!(matches!(reached, Reached::Refused(_)), "{who} in {vhost}: {reached:?}");
    }
}
