//! A healthy start says nothing that an operator would have to look into.

use serde_json::Value;

use crate::harness::ledgers::Engine;
use crate::harness::world::World;

/// Two processes of each role, so that they meet at everything that only one of them may do.
const PROCESSES: [(&str, &str); 6] = [
    ("front", "front"),
    ("worker", "worker"),
    ("worker2", "worker"),
    ("confirmer", "confirmer"),
    ("confirmer2", "confirmer"),
    ("front2", "front"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_start_of_all_roles_logs_no_warning_and_no_error() {
    let settings = [("LOG_FILTER", "info"), ("SEND_CHECK", "true"), ("CONFIRM_QUARANTINE", "5s")];
    let mut world = World::empty(Engine::Postgres, &settings).await;
    world.set_for("front2", "FRONT_LISTEN", "127.0.0.1:0");
    for (name, role) in PROCESSES {
        world.start_as(name, role);
    }
    for (name, _) in PROCESSES {
        world.ready(name).await;
    }
    for (name, _) in PROCESSES {
        let log = world.log_text(name);
        let level =
            |line: &str| serde_json::from_str::<Value>(line).ok()?["level"].as_str().map(str::to_owned);
        for line in log.lines() {
            let level = level(line).unwrap_or_else(|| panic!("{name}: no level in {line}"));
            assert!(!["WARN", "ERROR"].contains(&level.as_str()), "{name}: {line}");
        }
        assert!(log.contains("connected to the broker"), "{name}: {log}");
    }
}
