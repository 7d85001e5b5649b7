//! The ledger is away: everything that needs it pauses without retries, and goes on within one
//! breaker pause after the ledger's return.

use nidbridge::ledger::LedgerError;

use super::{MANY, all_confirmed_once, opens, state, submit};
use crate::harness::ChaosProxy;
use crate::harness::eventually;
use crate::harness::ledgers::{Engine, both};
use crate::harness::world::{SOON, World};
use crate::ledger::receive;

/// The work queues of the worker in our vhost.
const WORKER: [&str; 3] = ["registrations.work", "requests.amqp.work", "replies.work"];

async fn begun() -> (World, ChaosProxy) {
    let mut world = World::empty(Engine::Postgres, &[]).await;
    let ledger = world.proxy_to_ledger().await;
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
    }
    for role in ["front", "worker", "confirmer"] {
        world.ready(role).await;
    }
    (world, ledger)
}

/// The records are answered but not yet confirmed: the outcomes reach the confirmer while the
/// ledger is away.
async fn answered(world: &World, count: usize) {
    let answered = async || {
        let standings = world.ledger.summaries().await.ok()?;
        (standings.iter().filter(|one| one.state.as_str() == "answered").count() == count).then_some(())
    };
    eventually(SOON, "all are answered", answered).await;
}

async fn all_wait(world: &World, count: usize) {
    let look = world.look().await;
    let consumers = async || {
        let mut sum = 0;
        for queue in WORKER.into_iter().chain(["outcomes.work"]) {
            sum += look.depth(queue).await.ok()?.consumers;
        }
        (sum == 0).then_some(())
    };
    eventually(SOON, "nobody consumes anything", consumers).await;
    let waiting =
        async || (look.depth("registrations.work").await.ok()?.ready as usize == count).then_some(());
    eventually(SOON, "the registrations wait in their queue", waiting).await;
}

async fn all_goes_on(world: &World, count: usize) {
    all_confirmed_once(world, count).await;
    for role in ["worker", "confirmer"] {
        let closed = async || (state(world, role, "ledger") == 0.0).then_some(());
        eventually(SOON, "the ledger's breaker is closed", closed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_ledger_is_away_all_that_needs_it_waits() {
    let (world, ledger) = begun().await;
    submit(&world, 91, 8).await;
    answered(&world, 8).await;
    ledger.cut();
    submit(&world, 92, MANY).await;
    opens(&world, "worker", "ledger").await;
    opens(&world, "confirmer", "ledger").await;
    all_wait(&world, MANY).await;
    ledger.restore();
    all_goes_on(&world, MANY + 8).await;
}

/// As in a database fail-over: the old connections are dead without being closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_falls_silent_is_away_as_well() {
    let (world, ledger) = begun().await;
    submit(&world, 93, 4).await;
    all_confirmed_once(&world, 4).await;
    ledger.blackhole();
    submit(&world, 94, MANY).await;
    opens(&world, "worker", "ledger").await;
    ledger.cut();
    ledger.restore();
    all_goes_on(&world, MANY + 4).await;
}

#[tokio::test]
async fn a_statement_that_the_database_refuses_is_no_outage() {
    for open in both().await {
        receive(&open.ledger, "r", 0).await;
        for (sql, outage) in [
            ("INSERT INTO record SELECT * FROM record", false),
            ("UPDATE record SET request_id = NULL", false),
            // Not an error in SQLite, which converts any value.
            ("SELECT CAST('x' AS INTEGER)", false),
            ("SELECT 1 FROM nowhere", true),
        ] {
            let Err(refusal) = open.execute(sql).await else { continue };
            assert_eq!(LedgerError::from(refusal).is_outage(), outage, "{sql}");
        }
        open.ledger.close().await;
        let gone = open.ledger.now().await.unwrap_err();
        assert!(gone.is_outage(), "{gone:?}");
    }
}
