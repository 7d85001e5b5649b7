//! What other users of the machine can read, and what `config check` says of settings that leave
//! secrets open.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nidbridge::sandbox::population::Kind;

use crate::gateway::submitted;
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::operator::ended;
use crate::pipeline::people;

fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_its_own_user_reads_the_files_of_a_process_and_it_leaves_no_core_dump() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let ledger = world.ledger_url().trim_start_matches("sqlite:").trim_start_matches("//").to_owned();
    let ledger = ledger.split('?').next().unwrap().to_owned();
    // As an older release made it.
    if fs::exists(&ledger).unwrap() {
        fs::set_permissions(&ledger, Permissions::from_mode(0o644)).unwrap();
    }
    let cache = world.dir.join("auth.pem");
    world.set_for("front", "FRONT_KEY_CACHE", cache.to_str().unwrap());
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
    submitted(&world, &people(Kind::Birth, 1, 831)[0]).await;
    let cached = eventually(SOON, "auth's key is cached", async || mode(&cache)).await;
    assert_eq!(cached, 0o600);
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{ledger}{suffix}");
        assert_eq!(mode(Path::new(&path)), Some(0o600), "{path}");
    }
    for role in ["front", "worker", "confirmer"] {
        let pid = world.pid(role).as_raw_nonzero();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{role}: {core}");
    }
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_check_warns_of_public_secrets_and_of_clear_text() {
    let world = World::empty(Engine::Sqlite, &[]).await;
    let settings = [
        ("AMQP_URL", "amqp://nidbridge:demo-only-bridge@rabbitmq/nidbridge"),
        ("NID_AMQP_URL", "amqp://guest:guest@localhost/nid"),
        ("SEAL_KEYS", "demo:REVNT05TVFJBVElPTiBPTkxZLCBQVUJMSUMgS0VZISE="),
    ];
    let told = ended(&world, &["config", "check"], &settings).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    for warning in [
        "warning: AMQP_URL (broker.url): is a demonstration secret",
        "warning: AMQP_URL (broker.url): is not encrypted",
        "warning: NID_AMQP_URL (broker.nid_url): uses RabbitMQ's user `guest`",
        "warning: SEAL_KEYS (seal.keys): is a demonstration secret",
    ] {
        assert!(told.stdout.contains(warning), "{warning}: {}", told.stdout);
    }
    assert!(!told.stdout.contains("demo-only-") && !told.stdout.contains("guest:"), "{}", told.stdout);
}
