//! `AMQP_URL`: several hosts in one URL, and a password that is not percent-encoded.

use nidbridge::sandbox::opencrvs::Status;
use nidbridge::sandbox::population::Kind;
use secrecy::ExposeSecret as _;

use crate::gateway::submitted;
use crate::harness::ledgers::Engine;
use crate::harness::world::World;
use crate::operator::ended;
use crate::pipeline::{ends_as, people};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_goes_on_to_the_next_host_of_a_list_and_names_a_password_that_is_not_encoded() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let here = format!("@127.0.0.1:{}", world.vhosts().amqp_port());
    // Nothing listens on port 1.
    let list = format!("@127.0.0.1:1{},127.0.0.1:1", here.replace('@', ","));
    for (name, settings) in [
        ("AMQP_URL", world.vhosts().link_settings("x")),
        ("NID_AMQP_URL", world.vhosts().nid_link_settings("x")),
    ] {
        let url = settings.url.expose_secret();
        assert!(url.contains(&here), "{here}");
        world.set(name, &url.replace(&here, &list));
    }
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
    let birth = people(Kind::Birth, 1, 841).remove(0);
    submitted(&world, &birth).await;
    ends_as(&world, &birth.record, Status::Registered).await;
    world.assert_all_run();

    for url in ["amqp://bridge:12/secret@mq:5672/nidbridge", "amqp://bridge:x%secret@mq:5672/nidbridge"] {
        let told = ended(&world, &["config", "check"], &[("AMQP_URL", url)]).await;
        assert_eq!(told.code, Some(78), "{}", told.stderr);
        assert!(
            told.stderr.contains("AMQP_URL") && told.stderr.contains("not percent-encoded"),
            "{}",
            told.stderr
        );
        assert!(!told.stderr.contains("secret@"), "{}", told.stderr);
    }
}
