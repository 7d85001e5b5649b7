//! Five hundred registrations under load, with answers that come around the deadline of
//! `FRONT_WAIT`, and a tenth of the HTTP answers lost.

use std::collections::BTreeMap;
use std::time::Duration;

use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{CallResult, Generations, Record, RunOptions, Status};
use nidbridge::sandbox::population::Mix;
use tokio_util::sync::CancellationToken;

use super::world;
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{World, request_of};

const REGISTRATIONS: u64 = 500;
/// The longest that all of them may take.
const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_end_as_the_id_system_said_whatever_became_of_their_http_answers() {
    let mut world = world(Engine::Postgres, "4s", &[]).await;
    // Longer than the pause before a write to OpenCRVS when nobody waits.
    world.nid.change(|vendor| {
        vendor.latency_ms = (100, 5_500);
        vendor.reject = 0.2;
        vendor.duplicate = 0.1;
    });
    let load = RunOptions {
        generations: Generations::Mixed,
        registrations: Some(REGISTRATIONS),
        rate: 0.0,
        in_flight: 64,
        mix: Mix { deaths: 0.2, marriages: 0.1, ..Mix::default() },
        lost_answers: 0.1,
        lost_refusals: true,
        resubmit: 1.0,
        seed: 257,
        ..RunOptions::to(world.front.clone())
    };
    world.opencrvs.run(load, CancellationToken::new()).await.unwrap();
    all_ended(&world).await;
    let mut ends = Ends::default();
    for (id, record) in world
        .opencrvs
        .inspect(|book| book.all().map(|(id, record)| (id.to_owned(), record.clone())).collect::<Vec<_>>())
    {
        ends.add(&world, &id, &record);
    }
    world.assert_all_run();
    eprintln!("{ends:?}");
    assert_eq!(ends.records, REGISTRATIONS);
    for met in ["200", "202", "400", "422", "lost"] {
        assert!(ends.wires.get(met).copied().unwrap_or_default() >= 5, "too few answers {met}: {ends:?}");
    }
    let tally = world.opencrvs.tally();
    assert_eq!((tally.confirmed_twice, tally.notified_twice, tally.overwritten), (0, 0, 0));
    assert_eq!(tally.confirmed_out_of_place, 0);
    let events = world.opencrvs.events_tally();
    assert!(events.is_undamaged(), "{events:?}");
    let seen = world.nid.state();
    assert_eq!((seen.ids_doubled, seen.persons_doubled, seen.changed_repeats), (0, 0, 0));
}

/// How the records ended, and what their callers were answered.
#[derive(Debug, Default)]
struct Ends {
    records: u64,
    wires: BTreeMap<String, u32>,
    states: BTreeMap<&'static str, u32>,
}

impl Ends {
    fn add(&mut self, world: &World, id: &str, record: &Record) {
        self.records += 1;
        for attempt in &record.attempts {
            let wire = match &attempt.result {
                Some(CallResult::Status(status)) => status.to_string(),
                other => panic!("{id}: {other:?}"),
            };
            *self.wires.entry(wire).or_default() += 1;
            *self.wires.entry("lost".to_owned()).or_default() += u32::from(attempt.lost);
        }
        for confirm in &record.confirms {
            let answered = record.attempts[confirm.attempt].answered.expect("it was answered");
            assert!(confirm.at >= answered, "{id} was confirmed inside its request");
        }
        let said = world.nid.state().finals.get(&request_of(id, record.kind.name())).cloned();
        let rejected = matches!(said, Some(Final::Rejected(_)));
        let end = match record.status() {
            Status::Registered => "registered",
            Status::Rejected => "rejected",
            // The one rejection that OpenCRVS cannot be told: it came too late for the request.
            Status::WaitingValidation if record.event.is_none() => "held",
            odd @ (Status::Declared | Status::WaitingValidation | Status::Certified | Status::Archived) => {
                panic!("{id}: {odd:?}")
            }
        };
        *self.states.entry(end).or_default() += 1;
        assert_eq!(end != "registered", rejected, "{id} is {end}, and the ID system said {said:?}");
        assert_eq!(record.confirms.len(), usize::from(!rejected), "{id}");
        if let Some(Final::Issued(given)) = said {
            assert_eq!(record.identifiers.get("NATIONAL_ID"), Some(&given), "{id}");
        }
    }
}

async fn all_ended(world: &World) {
    eventually(PATIENCE, "everything has ended", async || {
        let standings = world.ledger.summaries().await.ok()?;
        let open = standings.iter().filter(|one| one.state.is_open()).count();
        (open == 0 && !standings.is_empty()).then_some(())
    })
    .await;
}
