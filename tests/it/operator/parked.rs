//! What is parked ends in each of the ways that its generation knows, judged by what OpenCRVS and
//! the vendor saw.

use nidbridge::domain::{Cause, RecordId};
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Calls, Fault, Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};

use super::decide::{decide, decided, id_file};
use crate::gateway::{confirms, standing};
use crate::harness::ledgers::{Engine, execute};
use crate::harness::world::{World, request_of};
use crate::pipeline::{ends_as, people, stands_as};
use crate::replies::{Vendor, answer};
use crate::unfit::without_date;

#[derive(Clone, Copy, PartialEq)]
enum Generation {
    Fhir,
    Events,
}

impl Generation {
    async fn world(self) -> World {
        match self {
            Self::Fhir => World::new(Engine::Sqlite).await,
            Self::Events => crate::events::world(Engine::Sqlite, &[]).await,
        }
    }

    async fn submit(self, world: &World, family: &Declaration) {
        let options = SubmitOptions::default();
        let sent = match self {
            Self::Fhir => world.opencrvs.submit(family, &world.front, options).await,
            Self::Events => world.opencrvs.submit_event(family, &world.front, options).await,
        };
        assert!(sent.unwrap().result.is_success());
    }
}

async fn set_view(world: &World, record: &RecordId, view: &str) {
    let change = format!("UPDATE attempt SET sealed_view = '{view}' WHERE record_id = '{record}'");
    execute(world.ledger_url(), change.leak()).await.unwrap();
}

/// Parks a registration after the ID system was asked: its view has become unfit, as after a change
/// of the settings, and the ID system wants to be asked again. Returns the view that was fit.
async fn parked(generation: Generation, world: &World, family: &Declaration, kind: &str) -> String {
    generation.submit(world, family).await;
    stands_as(world, &family.record, "requested").await;
    let record = RecordId::parse(&family.record).unwrap();
    let case = world.ledger.newest_attempt(&record).await.unwrap().unwrap();
    let fit = case.attempt.sealed_view.unwrap();
    set_view(world, &record, &without_date(&record, &fit)).await;
    let mut again = answer(&request_of(&family.record, kind), 1, "retry");
    again["retry_after_s"] = 1.into();
    Vendor::of(world).await.replies(&again).await;
    is_unfit(world, &family.record).await;
    fit
}

async fn is_unfit(world: &World, record: &str) {
    let parked = standing(world, record, "parked", "unfit now").await;
    assert_eq!(parked.cause, Some(Cause::Unfit.into()));
}

/// Registered by one write, with this ID.
async fn registered(world: &World, family: &Declaration, id: Option<&str>) {
    ends_as(world, &family.record, Status::Registered).await;
    stands_as(world, &family.record, "confirmed").await;
    let there = world.opencrvs.record(&family.record).unwrap();
    assert_eq!(there.confirms.len(), 1);
    assert_eq!(there.identifiers.get("NATIONAL_ID").map(String::as_str), id);
}

async fn what_is_parked_ends_in_each_of_the_ways(generation: Generation) {
    let world = generation.world().await;
    let (births, death) = (people(Kind::Birth, 5, 313), people(Kind::Death, 9, 314));
    let death = death.into_iter().find(Declaration::deceased_has_national_id).unwrap();
    world.nid.pause_replies();
    let mut fit = String::new();
    for birth in &births {
        fit = parked(generation, &world, birth, "birth").await;
    }
    parked(generation, &world, &death, "death").await;
    let asked_before = world.nid.state().requests;
    let [by_id, without, rejected, closed, again] = births.as_slice() else { unreachable!() };

    decided(&world, by_id, &["issued", "--id-file", &id_file(&world, "5550202222")]).await;
    registered(&world, by_id, Some("5550202222")).await;

    decided(&world, without, &["without-id"]).await;
    registered(&world, without, None).await;

    decided(&world, &death, &["recorded"]).await;
    registered(&world, &death, None).await;

    if generation == Generation::Events {
        decided(&world, rejected, &["reject"]).await;
        ends_as(&world, &rejected.record, Status::Rejected).await;
        stands_as(&world, &rejected.record, "rejected").await;
    } else {
        let refused = decide(&world, rejected, &["reject"]).await;
        assert!(refused.0 == Some(1) && refused.1.contains("cannot be told of a rejection"), "{refused:?}");
    }

    decided(&world, closed, &["close"]).await;
    stands_as(&world, &closed.record, "closed").await;

    decided(&world, again, &["ask-again"]).await;
    is_unfit(&world, &again.record).await;
    assert_eq!(world.nid.state().requests, asked_before, "nobody was asked again");
    set_view(&world, &RecordId::parse(&again.record).unwrap(), &fit).await;
    decided(&world, again, &["ask-again"]).await;
    stands_as(&world, &again.record, "requested").await;
    world.nid.resume_replies();
    ends_as(&world, &again.record, Status::Registered).await;
    let state = world.nid.state();
    let Final::Issued(id) = &state.finals[&request_of(&again.record, "birth")] else { panic!("issued") };
    registered(&world, again, Some(id)).await;
    assert_eq!((state.requests, state.changed_repeats), (asked_before + 1, 0));
    assert_eq!(confirms(&world, &closed.record), 0);
    assert!(world.opencrvs.events_tally().is_undamaged());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_ends_in_each_of_the_ways_of_the_fhir_generation() {
    what_is_parked_ends_in_each_of_the_ways(Generation::Fhir).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_ends_in_each_of_the_ways_of_the_events_generation() {
    what_is_parked_ends_in_each_of_the_ways(Generation::Events).await;
}

/// A rejection that could not be told is treated once more as the settings say.
#[tokio::test(flavor = "multi_thread")]
async fn the_policy_applies_to_a_parked_rejection_in_both_generations() {
    for (generation, calls, fault, state, status) in [
        (Generation::Fhir, Calls::Fetch, Fault::AUTHENTICATION_FAILED, "held", Status::WaitingValidation),
        (Generation::Events, Calls::Action, Fault::NO_SCOPE, "rejected", Status::Rejected),
    ] {
        let world = generation.world().await;
        let birth = people(Kind::Birth, 1, 315).remove(0);
        world.nid.will_answer(&request_of(&birth.record, "birth"), Final::Rejected("not_eligible"));
        world.opencrvs.faults().next(calls, 1, fault);
        generation.submit(&world, &birth).await;
        stands_as(&world, &birth.record, "parked").await;
        decided(&world, &birth, &["policy"]).await;
        stands_as(&world, &birth.record, state).await;
        assert_eq!(world.opencrvs.record(&birth.record).unwrap().status(), status);
        assert_eq!(confirms(&world, &birth.record), 0);
    }
}
