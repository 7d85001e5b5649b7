//! A rolling restart under load, with two of each role behind the shipped nginx: no request fails,
//! and no delivery is delayed.

use std::time::Duration;

use nidbridge::sandbox::opencrvs::RunOptions;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::nginx::Nginx;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};

const REGISTRATIONS: u64 = 300;
/// Long timeouts, because a delivery must not be delayed just because the machine is busy with
/// other tests.
const PATIENT: [(&str, &str); 3] =
    [("PUBLISH_TIMEOUT", "8s"), ("OPENCRVS_TIMEOUT", "10s"), ("CONFIRM_LEASE", "25s")];
/// The name of each process, and its role.
const PROCESSES: [(&str, &str); 6] = [
    ("front", "front"),
    ("worker", "worker"),
    ("confirmer", "confirmer"),
    ("front2", "front"),
    ("worker2", "worker"),
    ("confirmer2", "confirmer"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_no_request_and_burns_no_attempt() {
    let mut world = World::empty(Engine::Postgres, &PATIENT).await;
    let fronts = [world.front.port().unwrap(), free_port()];
    world.set_for("front2", "FRONT_LISTEN", &format!("127.0.0.1:{}", fronts[1]));
    for (name, role) in PROCESSES {
        world.start_as(name, role);
    }
    for (name, _) in PROCESSES {
        world.ready(name).await;
    }
    let nginx = Nginx::start(&world.dir, free_port(), &fronts, 1);
    eventually(SOON, "nginx answers", async || nginx.answers().then_some(())).await;
    let load = RunOptions {
        registrations: Some(REGISTRATIONS),
        rate: 20.0,
        lost_answers: 0.0,
        resubmit: 0.0,
        ..RunOptions::to(Url::parse(&format!("http://127.0.0.1:{}/", nginx.port)).unwrap())
    };
    let running = tokio::spawn({
        let opencrvs = world.opencrvs.clone();
        async move { opencrvs.run(load, CancellationToken::new()).await }
    });
    for ((name, role), confirmed) in PROCESSES.into_iter().zip([10, 40, 70, 100, 130, 160]) {
        let under_way = async || (world.opencrvs.tally().confirmed >= confirmed).then_some(());
        eventually(Duration::from_secs(120), &format!("{confirmed} are confirmed"), under_way).await;
        assert_eq!(world.terminate(name).await, Some(0), "{name}");
        world.start_as(name, role);
        world.ready(name).await;
    }
    running.await.unwrap().unwrap();
    let all = async || (world.opencrvs.tally().confirmed == REGISTRATIONS).then_some(());
    eventually(Duration::from_secs(120), "every registration is confirmed", all).await;
    let tally = world.opencrvs.tally();
    assert_eq!(
        (tally.submitted, tally.accepted, tally.refused),
        (REGISTRATIONS, REGISTRATIONS, 0),
        "{tally:?}"
    );
    assert_eq!((tally.confirmed_twice, tally.notified_twice), (0, 0), "{tally:?}");
    assert_eq!(burned(&world), Vec::<String>::new(), "only an outcome that is too early may be delayed");
    world.assert_all_run();
}

/// The causes for which deliveries were delayed or parked.
fn burned(world: &World) -> Vec<String> {
    let logs: String = PROCESSES.iter().map(|(name, _)| world.log_text(name)).collect();
    let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let settled = lines.filter(|line| line["message"] == "settled").collect::<Vec<_>>();
    assert!(settled.len() as u64 > REGISTRATIONS * 3, "the logs say what was settled");
    let causes = settled.iter().filter_map(|line| line["cause"].as_str());
    causes.filter(|cause| *cause != "too_early").map(str::to_owned).collect()
}
