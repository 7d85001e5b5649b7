//! Circuit breakers: while a dependency is away, its queue waits without retries and everything
//! else goes on. The queue resumes when the dependency is back.

mod in_flight;
mod ledger;
mod readyz;

use std::time::Duration;

use nidbridge::sandbox::opencrvs::{Calls, Fault, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Mix, Population};

use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};

const MANY: usize = 50;

async fn submit(world: &World, seed: u64, count: usize) -> Vec<Declaration> {
    let births = Mix { deaths: 0.0, marriages: 0.0, ..Mix::default() };
    let declarations: Vec<_> = Population::new(seed, births).take(count).collect();
    for declaration in &declarations {
        let answered =
            world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
        assert!(answered.result.is_success(), "{:?}", answered.result);
    }
    declarations
}

fn state(world: &World, role: &'static str, dependency: &str) -> f64 {
    world.metric(role, "nidbridge_breaker_state", &format!("\"{dependency}\""))
}

async fn opens(world: &World, role: &'static str, dependency: &str) {
    let what = format!("the breaker of {dependency} is open");
    eventually(SOON, &what, async || (state(world, role, dependency) == 2.0).then_some(())).await;
}

async fn all_confirmed_once(world: &World, count: usize) {
    let all = async || (world.opencrvs.tally().confirmed == count as u64).then_some(());
    eventually(SOON, "all are confirmed", all).await;
    let tally = world.opencrvs.tally();
    assert_eq!((tally.confirmed_twice, tally.notified_twice, tally.waiting), (0, 0, 0), "{tally:?}");
}

/// The number of deliveries of a stage that were delayed.
fn delayed_deliveries(world: &World, role: &'static str, stage: &str, cause: &str) -> f64 {
    let text = world.metrics_text(role);
    let of = |line: &&str| {
        line.starts_with("nidbridge_retries_total")
            && line.contains(&format!("stage=\"{stage}\""))
            && line.contains(&format!("cause=\"{cause}\""))
    };
    text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_gateway_is_down_outcomes_wait_in_their_queue_and_everything_before_it_goes_on() {
    let prefetch = 8;
    let mut world = World::empty(Engine::Sqlite, &[("CONFIRM_PREFETCH", "8")]).await;
    let gateway = world.proxy_to_gateway().await;
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
    }
    for role in ["front", "worker", "confirmer"] {
        world.ready(role).await;
    }
    gateway.cut();
    submit(&world, 81, MANY).await;
    opens(&world, "confirmer", "gateway").await;
    let look = world.look().await;
    // Deliveries that were being handled when the breaker opened come back from the delay queue.
    // Then all of them wait.
    let all_wait = async || {
        let waiting = look.depth("outcomes.work").await.ok()?;
        (waiting.ready as usize == MANY && waiting.consumers == 0).then_some(())
    };
    eventually(SOON, "all outcomes wait in their queue, and nobody takes them", all_wait).await;
    let before = delayed_deliveries(&world, "confirmer", "confirm", "gateway_unavailable");
    // The breaker opens at the fifth failure. Each of the four before it may have made room for
    // another delivery.
    let most = f64::from(prefetch + 4);
    assert!(before <= most, "{before} deliveries were delayed");
    // Meanwhile a new registration is recorded, asked and answered.
    submit(&world, 82, 1).await;
    let one_more =
        async || (look.depth("outcomes.work").await.ok()?.ready as usize == MANY + 1).then_some(());
    eventually(SOON, "the ID system was asked about a new one", one_more).await;
    let probed = world.opencrvs.tally().confirmed;
    let longer = async || (state(&world, "confirmer", "gateway") == 2.0).then_some(());
    eventually(SOON, "the breaker stays open", longer).await;
    assert_eq!(delayed_deliveries(&world, "confirmer", "confirm", "gateway_unavailable"), before);
    assert_eq!(probed, 0);
    gateway.restore();
    all_confirmed_once(&world, MANY + 1).await;
    assert_eq!(state(&world, "confirmer", "gateway"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_of_the_id_system_stops_only_requests_to_it() {
    let mut world = World::with(Engine::Sqlite, &[("BROKER_MAX_LENGTH", "30")]).await;
    world.vendor_leaves().await;
    submit(&world, 83, 48).await;
    opens(&world, "worker", "id_system").await;
    let recorded = async || (world.ledger.summaries().await.ok()?.len() == 48).then_some(());
    eventually(SOON, "all are recorded meanwhile", recorded).await;
    let look = world.look().await;
    let paused = async || (look.depth("requests.amqp.work").await.ok()?.consumers == 0).then_some(());
    eventually(SOON, "nobody takes requests", paused).await;
    world.vendor_returns();
    all_confirmed_once(&world, 48).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_one_record_opens_no_breaker() {
    let world = World::with(Engine::Sqlite, &[("BREAKER_FAILURES", "1")]).await;
    world.opencrvs.faults().next(Calls::Fetch, 3, Fault::NO_SCOPE);
    submit(&world, 85, 5).await;
    let ended = async || {
        let standings = world.ledger.summaries().await.ok()?;
        let count = |state| standings.iter().filter(|one| one.state.as_str() == state).count();
        (count("parked") == 3 && count("confirmed") == 2).then_some(())
    };
    eventually(SOON, "three are parked, two confirmed", ended).await;
    assert_eq!(world.metric("confirmer", "nidbridge_breaker_opened_total", "gateway"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_breaker_is_open_stops_at_once() {
    let mut world = World::with(
        Engine::Sqlite,
        &[("BREAKER_FAILURES", "1"), ("BREAKER_PAUSE", "1h"), ("BREAKER_PAUSE_MAX", "1h")],
    )
    .await;
    world.opencrvs.faults().next(Calls::Fetch, 1, Fault::http(503));
    submit(&world, 86, 1).await;
    opens(&world, "confirmer", "gateway").await;
    let stopping = std::time::Instant::now();
    assert_eq!(world.terminate("confirmer").await, Some(0));
    assert!(stopping.elapsed() < Duration::from_secs(4), "{:?}", stopping.elapsed());
    world.start("confirmer");
    all_confirmed_once(&world, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn good_tokens_are_not_parked_while_auth_cannot_be_asked_about_them() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let auth = world.proxy_to_auth("confirmer").await;
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
    }
    for role in ["front", "worker", "confirmer"] {
        world.ready(role).await;
    }
    // A gateway that checks each token with auth refuses every token while auth is away.
    auth.cut();
    world.opencrvs.faults().always(Calls::Fetch, Fault::UNAUTHORIZED);
    submit(&world, 87, 8).await;
    opens(&world, "confirmer", "auth").await;
    world.opencrvs.faults().clear();
    auth.restore();
    all_confirmed_once(&world, 8).await;
}
