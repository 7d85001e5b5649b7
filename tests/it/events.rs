//! Registrations of the events generation are confirmed or rejected, and no record is left
//! requested or damaged.

pub mod fields;
mod rejected;

use std::process::Stdio;
use std::time::Duration;

use nidbridge::sandbox::guardian::Guardian;
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Calls, Fault, Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};

use crate::front::wire::{event_taken_down, send};
use crate::harness::eventually;
use crate::harness::ledgers::{Engine, execute};
use crate::harness::world::{SOON, World, request_of};
use crate::operator::ended;
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![
    every_kind_of_event_is_registered_once_under_its_number,
    a_lost_answer_leaves_no_record_requested,
    a_rejection_is_told_with_its_reason_and_the_next_submission_is_registered,
    an_attempt_that_an_older_release_recorded_is_answered_with_the_action_of_its_token,
];

/// Starts all roles with the settings for events.
pub async fn world(engine: Engine, settings: &[(&str, &str)]) -> World {
    let mut world = prepared(engine, settings).await;
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
    }
    for role in ["front", "worker", "confirmer"] {
        world.ready(role).await;
    }
    world
}

/// As [`world`], with the read before *send* that is the default of the product.
async fn checked(engine: Engine, settings: &[(&str, &str)]) -> World {
    let checked: Vec<_> = [("SEND_CHECK", "true")].into_iter().chain(settings.iter().copied()).collect();
    world(engine, &checked).await
}

/// The same without any role running.
pub async fn prepared(engine: Engine, settings: &[(&str, &str)]) -> World {
    let mut world = World::empty(engine, settings).await;
    world.set("FRONT_EVENTS", "true");
    let spool = world.dir.join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    world.set("FRONT_SPOOL", &spool.display().to_string());
    world.set("COUNTRY_CONFIG_URL", &world.opencrvs.country_config_url());
    world.set("CONFIRM_IDENTIFIER_FIELD", "child.nid");
    world.set("CONFIRM_FIELD_RECHECK", "100ms");
    world
}

async fn submit(world: &World, family: &Declaration, options: SubmitOptions) {
    let submitted = world.opencrvs.submit_event(family, &world.front, options).await.unwrap();
    assert!(submitted.result.is_success(), "{:?}", submitted.result);
}

fn whole(world: &World) {
    let tally = world.opencrvs.events_tally();
    assert!(tally.is_undamaged(), "{tally:?}");
}

async fn every_kind_of_event_is_registered_once_under_its_number(engine: Engine) {
    let world = checked(engine, &[]).await;
    for kind in [Kind::Birth, Kind::Death, Kind::Marriage] {
        for family in people(kind, 2, kind as u64 + 57) {
            let corrected = Some("Corrected".to_owned());
            submit(&world, &family, SubmitOptions { corrected, ..SubmitOptions::default() }).await;
            ends_as(&world, &family.record, Status::Registered).await;
            stands_as(&world, &family.record, "confirmed").await;
            let record = world.opencrvs.record(&family.record).unwrap();
            assert_eq!((record.confirms.len(), record.numbers.len()), (1, 1));
            assert!(record.numbers[0].ends_with(&family.tracking_id), "{:?}", record.numbers);
            assert_eq!(record.identifiers.contains_key("NATIONAL_ID"), kind == Kind::Birth, "{kind:?}");
        }
    }
    assert_eq!(world.nid.state().ended("issued"), 2);
    whole(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_the_country_has_given_is_the_one() {
    let world = checked(Engine::Sqlite, &[("NUMBER_HEADER", "on")]).await;
    let family = people(Kind::Birth, 1, 83).remove(0);
    let text = String::from_utf8(event_taken_down(&world, &family).await).unwrap();
    let forwarded = text.replacen("\r\n", "\r\nX-Registration-Number: 1999-KLOW-0042\r\n", 1);
    assert_eq!(send(&world.front, forwarded.as_bytes()).await.status, 202);
    ends_as(&world, &family.record, Status::Registered).await;
    assert_eq!(world.opencrvs.record(&family.record).unwrap().numbers, ["1999-KLOW-0042"]);
    whole(&world);
}

async fn a_lost_answer_leaves_no_record_requested(engine: Engine) {
    let world = checked(engine, &[]).await;
    let family = people(Kind::Birth, 1, 61).remove(0);
    world.nid.pause_replies();
    submit(&world, &family, SubmitOptions { lose_answer: true, ..SubmitOptions::default() }).await;
    assert_eq!(world.opencrvs.events_tally().stranded, 1, "for core it has failed");
    world.nid.resume_replies();
    ends_as(&world, &family.record, Status::Registered).await;
    whole(&world);
}

async fn a_rejection_is_told_with_its_reason_and_the_next_submission_is_registered(engine: Engine) {
    let world = checked(engine, &[("CONFIRM_REASONS", "true")]).await;
    let family = people(Kind::Birth, 1, 67).remove(0);
    let request = request_of(&family.record, "birth");
    world.nid.will_answer(&request, Final::Rejected("not_eligible"));
    submit(&world, &family, SubmitOptions::default()).await;
    ends_as(&world, &family.record, Status::Rejected).await;
    stands_as(&world, &family.record, "rejected").await;
    let record = world.opencrvs.record(&family.record).unwrap();
    let reason = record.event.unwrap().reason.expect("the reason");
    assert!(reason.contains("not_eligible"), "{reason}");
    world.nid.will_answer(&request, Final::Issued("9876543210".to_owned()));
    let corrected = Some("Corrected".to_owned());
    submit(&world, &family, SubmitOptions { corrected, ..SubmitOptions::default() }).await;
    ends_as(&world, &family.record, Status::Registered).await;
    whole(&world);
}

async fn an_attempt_that_an_older_release_recorded_is_answered_with_the_action_of_its_token(engine: Engine) {
    let world = checked(engine, &[]).await;
    let family = people(Kind::Birth, 1, 97).remove(0);
    world.nid.pause_replies();
    submit(&world, &family, SubmitOptions::default()).await;
    stands_as(&world, &family.record, "requested").await;
    execute(world.ledger_url(), "UPDATE attempt SET action_id = NULL").await.unwrap();
    world.nid.resume_replies();
    ends_as(&world, &family.record, Status::Registered).await;
    stands_as(&world, &family.record, "confirmed").await;
    whole(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_call_it_is_repeated_at_once_and_registers_once() {
    let world = checked(Engine::Sqlite, &[("CONFIRM_QUARANTINE", "10m"), ("CONFIRM_LEASE", "3s")]).await;
    let faults = [
        Fault::CUT_AFTER,
        Fault::CUT_BEFORE,
        Fault::http_after(503),
        Fault::TRUNCATED_AFTER,
        Fault::FAILS_AFTER,
        Fault::NOT_JSON,
        Fault::cut_late(300),
    ];
    for (family, fault) in people(Kind::Birth, faults.len(), 71).into_iter().zip(faults) {
        world.opencrvs.faults().next(Calls::Action, 1, fault);
        submit(&world, &family, SubmitOptions::default()).await;
        stands_as(&world, &family.record, "confirmed").await;
        let record = world.opencrvs.record(&family.record).unwrap();
        assert_eq!((record.status(), record.confirms.len()), (Status::Registered, 1), "{fault:?}");
    }
    whole(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_forms_lost_is_not_written_and_its_return_is_enough() {
    let world = checked(Engine::Sqlite, &[]).await;
    world.opencrvs.define_fields(&["child.other"]);
    let [family, death] = [Kind::Birth, Kind::Death].map(|kind| people(kind, 1, kind as u64 + 73).remove(0));
    submit(&world, &family, SubmitOptions::default()).await;
    submit(&world, &death, SubmitOptions::default()).await;
    stands_as(&world, &family.record, "parked").await;
    ends_as(&world, &death.record, Status::Registered).await;
    let alarm = || world.metric("confirmer", "nidbridge_alarms_total", "field_undefined");
    eventually(Duration::from_secs(5), "the alarm", async || (alarm() >= 1.0).then_some(())).await;
    assert_eq!(world.opencrvs.record(&family.record).unwrap().confirms.len(), 0);
    world.opencrvs.define_fields(&["child.nid"]);
    let (code, told) = world
        .run(&["attempts", "resume", "--cause", "field_undefined", "--reason", "the form has it again"], &[])
        .await;
    assert_eq!(code, Some(0), "{told}");
    ends_as(&world, &family.record, Status::Registered).await;
    whole(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmer_that_would_break_every_record_does_not_start() {
    let world = prepared(Engine::Sqlite, &[]).await;
    world.opencrvs.define_fields(&[]);
    assert_ne!(ends_with(&world, "confirmer", &[]).await, Some(0));
}

/// All roles share one environment, and only the fronts have a disk of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_front_without_a_spool_does_not_start_and_keeps_nobody_else_from_it() {
    let mut world = prepared(Engine::Sqlite, &[]).await;
    world.set("FRONT_SPOOL", "");
    for role in ["worker", "confirmer"] {
        world.start(role);
    }
    for role in ["worker", "confirmer"] {
        world.ready(role).await;
    }
    for command in [&["front"][..], &["all"], &["config", "check"]] {
        let ended = ended(&world, command, &[]).await;
        let told = "FRONT_SPOOL (front.spool): is not set, but FRONT_EVENTS is on";
        assert_eq!(ended.code, Some(78), "{command:?}");
        assert!(ended.stderr.contains(told), "{command:?} {}", ended.stderr);
    }
    let (code, _) = world.run(&["attempts", "list"], &[]).await;
    assert_eq!(code, Some(0), "an operator's command has the same environment");
}

/// Starts a role that ends by itself, and returns its exit code.
async fn ends_with(world: &World, role: &str, settings: &[(&str, &str)]) -> Option<i32> {
    let mut command = world.command(role, &[role]);
    command.envs(settings.iter().copied()).stdin(Stdio::null());
    let mut child = command.spawn().expect("the product's binary");
    let _guardian = Guardian::watch(&[child.id()], None).expect("a guardian");
    let what = format!("{role} has ended");
    eventually(Duration::from_secs(20), &what, async || child.try_wait().expect("its state")).await.code()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_generations_at_once_end_as_each_alone() {
    let world = checked(Engine::Sqlite, &[]).await;
    for (n, family) in people(Kind::Birth, 6, 79).into_iter().enumerate() {
        if n % 2 == 0 {
            submit(&world, &family, SubmitOptions::default()).await;
        } else {
            world.opencrvs.submit(&family, &world.front, SubmitOptions::default()).await.unwrap();
        }
        ends_as(&world, &family.record, Status::Registered).await;
    }
    let renewed = eventually(SOON, "all are confirmed", async || {
        let standings = world.ledger.summaries().await.ok()?;
        standings.iter().all(|one| one.state.as_str() == "confirmed").then_some(standings.len())
    });
    assert_eq!(renewed.await, 6);
    assert_eq!(world.opencrvs.tally().confirmed_twice, 0);
    whole(&world);
}
