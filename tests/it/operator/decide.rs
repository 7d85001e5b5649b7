//! `nidbridge attempts decide`: what is held or parked ends in each of the ways, judged by what
//! OpenCRVS and the vendor saw.

use std::io::Write as _;

use nidbridge::domain::{Cause, RecordId};
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Calls, Fault, Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};

use super::json_of;
use crate::gateway::{confirmed_once, confirms, standing, submitted};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![a_held_birth_ends_in_each_of_the_ways];

const WHY: [&str; 4] = ["--reason", "the office knows", "--by", "ada"];

/// The id of the record's newest attempt.
async fn attempt_of(world: &World, declaration: &Declaration) -> String {
    let (_, shown) = json_of(world, &["attempts", "show", &declaration.record, "--json"]).await;
    let attempts = shown[0]["attempts"].as_array().unwrap();
    attempts.last().unwrap()["attempt"].as_str().unwrap().to_owned()
}

pub async fn decide(world: &World, declaration: &Declaration, decision: &[&str]) -> (Option<i32>, String) {
    let attempt = attempt_of(world, declaration).await;
    world.run(&[&["attempts", "decide", &attempt, "--as"], decision, &WHY].concat(), &[]).await
}

pub async fn decided(world: &World, declaration: &Declaration, decision: &[&str]) {
    let (code, said) = decide(world, declaration, decision).await;
    assert_eq!((code, said.as_str()), (Some(0), "decided: 1\n"), "{decision:?}");
}

pub fn id_file(world: &World, id: &str) -> String {
    let path = world.dir.join(format!("id-{id}"));
    std::fs::File::create(&path).unwrap().write_all(format!("{id}\n").as_bytes()).unwrap();
    path.display().to_string()
}

async fn held(world: &World, declaration: &Declaration, kind: &str) {
    world.nid.will_answer(&request_of(&declaration.record, kind), Final::Rejected("not_eligible"));
    submitted(world, declaration).await;
    stands_as(world, &declaration.record, "held").await;
}

fn submissions(world: &World, declaration: &Declaration, kind: &str) -> usize {
    let answers = world.nid.state().answers;
    answers.get(&request_of(&declaration.record, kind)).map_or(0, std::collections::BTreeMap::len)
}

/// Expects six held registrations, of which `one` is any.
async fn nothing_is_decided_by_accident(world: &World, one: &Declaration) {
    // Nothing is decided without a reason, and several attempts only with --yes.
    let attempt = attempt_of(world, one).await;
    let no_reason = world.run(&["attempts", "decide", &attempt, "--as", "close"], &[]).await;
    assert_eq!(no_reason.0, Some(2));
    let all = [&["attempts", "decide", "--state", "held", "--as", "close"][..], &WHY].concat();
    let (code, said) = world.run(&all, &[]).await;
    assert_eq!((code, said.as_str()), (Some(0), "would be decided: 6; add --yes to decide them\n"));
    stands_as(world, &one.record, "held").await;

    let resume = [&["attempts", "resume", "--cause", "rejected_by_id_system"][..], &WHY].concat();
    let (code, said) = world.run(&resume, &[]).await;
    assert!(code == Some(0) && said.contains("6 with this cause are held"), "{said}");
    assert!(said.contains("`nidbridge attempts decide`"), "{said}");
}

async fn a_held_birth_ends_in_each_of_the_ways(engine: Engine) {
    let mut world = World::new(engine).await;
    let births = people(Kind::Birth, 6, 301);
    for birth in &births {
        held(&world, birth, "birth").await;
    }
    let [by_id, without, asked, policy, closed, twin] = births.as_slice() else { unreachable!() };

    nothing_is_decided_by_accident(&world, by_id).await;
    let file = id_file(&world, "5550001111");
    std::fs::write(&file, "\u{feff}5550001111\r\n").unwrap();
    decided(&world, by_id, &["issued", "--id-file", &file]).await;
    confirmed_once(&world, &by_id.record, "an ID by hand").await;
    let there = world.opencrvs.record(&by_id.record).unwrap();
    assert_eq!(there.identifiers["NATIONAL_ID"], "5550001111");

    let taken = decide(&world, twin, &["issued", "--id-file", &id_file(&world, "5550001111")]).await;
    assert!(taken.0 == Some(1) && taken.1.contains("id_of_another_record"), "{taken:?}");
    assert!(taken.1.contains(&format!("record {} has this ID", by_id.record)), "{taken:?}");
    stands_as(&world, &twin.record, "held").await;
    let history = world.history(&twin.record).await;
    let noted = history.iter().find(|entry| entry.what == "decision_refused").expect("the alarm");
    assert_eq!(noted.cause, Some(Cause::IdOfAnotherRecord.into()));
    assert!(!format!("{history:?}").contains("5550001111"));

    decided(&world, without, &["without-id", "--comment", "no ID for now"]).await;
    confirmed_once(&world, &without.record, "without an ID").await;
    let confirm = world.opencrvs.record(&without.record).unwrap().confirms.remove(0);
    assert_eq!((confirm.comment.as_deref(), confirm.identifiers.len()), (Some("no ID for now"), 0));

    let attempt = attempt_of(&world, asked).await;
    let ask = [&["attempts", "decide", &attempt, "--as", "ask-again"][..], &WHY].concat();
    let late = world.run(&ask, &[("NID_DEADLINE", "1s")]).await;
    assert!(late.0 == Some(1) && late.1.contains("past its own expiry"), "{late:?}");
    world.nid.will_answer(&request_of(&asked.record, "birth"), Final::Issued("5550002222".to_owned()));
    decided(&world, asked, &["ask-again"]).await;
    confirmed_once(&world, &asked.record, "asked again").await;
    assert_eq!(submissions(&world, asked, "birth"), 2, "the vendor saw a second submission");
    let there = world.opencrvs.record(&asked.record).unwrap();
    assert_eq!(there.identifiers["NATIONAL_ID"], "5550002222");

    decided(&world, closed, &["close"]).await;
    stands_as(&world, &closed.record, "closed").await;
    let entries = world.history(&closed.record).await;
    let entry = entries.iter().find(|entry| entry.what == "decided").expect("an entry");
    assert_eq!(entry.why.as_deref(), Some("close: the office knows"));
    assert!(entry.who.starts_with("operator ada "), "{}", entry.who);
    let refused = decide(&world, closed, &["ask-again"]).await;
    assert!(refused.0 == Some(1) && refused.1.contains("it is closed"), "{refused:?}");

    the_new_policy_decides_the_rest(&mut world, [policy, twin]).await;
    assert_eq!(confirms(&world, &closed.record), 0, "closed is closed");
    let vendor = world.nid.state();
    assert_eq!((vendor.requests, vendor.repeats, vendor.ids_doubled), (7, 0, 0));

    // The registrar may submit a closed record again.
    let again = SubmitOptions { corrected: Some("Corrected".into()), ..SubmitOptions::default() };
    world.nid.will_answer(&request_of(&closed.record, "birth"), Final::Issued("5550003333".to_owned()));
    world.opencrvs.submit(closed, &world.front, again).await.unwrap();
    confirmed_once(&world, &closed.record, "submitted again").await;
}

/// The setting `CONFIRM_NEGATIVE` is changed, and applied to what is held.
async fn the_new_policy_decides_the_rest(world: &mut World, [policy, twin]: [&Declaration; 2]) {
    let refused = decide(world, policy, &["reject"]).await;
    assert!(refused.0 == Some(1) && refused.1.contains("cannot be told of a rejection"), "{refused:?}");
    decided(world, policy, &["policy"]).await;
    stands_as(world, &policy.record, "held").await;
    world.set("CONFIRM_NEGATIVE", "confirm-with-comment");
    // A confirmer that is killed may leave a lease behind, which delays the decision.
    assert_eq!(world.terminate("confirmer").await, Some(0));
    world.start("confirmer");
    world.ready("confirmer").await;
    let rest = [&["attempts", "decide", "--state", "held", "--as", "policy", "--yes"][..], &WHY].concat();
    assert_eq!(world.run(&rest, &[]).await, (Some(0), "decided: 2\n".to_owned()));
    for birth in [policy, twin] {
        confirmed_once(world, &birth.record, "the new policy").await;
        let confirm = world.opencrvs.record(&birth.record).unwrap().confirms.remove(0);
        assert!(confirm.comment.is_some_and(|text| text.contains("not_eligible")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_death_is_recorded_by_hand() {
    let world = World::new(Engine::Sqlite).await;
    let death = people(Kind::Death, 1, 302).remove(0);
    held(&world, &death, "death").await;
    let refused = decide(&world, &death, &["issued", "--id-file", &id_file(&world, "5550004444")]).await;
    assert!(refused.0 == Some(1) && refused.1.contains("an ID is issued only for a birth"), "{refused:?}");
    decided(&world, &death, &["recorded"]).await;
    confirmed_once(&world, &death.record, "recorded by hand").await;
    let confirm = world.opencrvs.record(&death.record).unwrap().confirms.remove(0);
    assert_eq!((confirm.comment, world.nid.state().requests), (None, 1));
}

/// Parks births: the ID system issues them the ID of another record.
async fn parked_twins(world: &World, twins: &[Declaration]) {
    for (n, twin) in twins.iter().enumerate() {
        world.nid.will_answer(&request_of(&twin.record, "birth"), Final::Issued("7770001111".to_owned()));
        let submitted =
            world.opencrvs.submit_event(twin, &world.front, SubmitOptions::default()).await.unwrap();
        assert!(submitted.result.is_success(), "{:?}", submitted.result);
        if n == 0 {
            stands_as(world, &twin.record, "confirmed").await;
        } else {
            let parked = standing(world, &twin.record, "parked", "the ID of another").await;
            assert_eq!(parked.cause, Some(Cause::IdOfAnotherRecord.into()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_event_ends_in_each_of_the_ways() {
    let world = crate::events::world(Engine::Sqlite, &[]).await;
    let twins = people(Kind::Birth, 5, 303);
    parked_twins(&world, &twins).await;
    let [_, by_id, without, rejected, closed] = twins.as_slice() else { unreachable!() };

    decided(&world, by_id, &["issued", "--id-file", &id_file(&world, "7770002222")]).await;
    ends_as(&world, &by_id.record, Status::Registered).await;
    stands_as(&world, &by_id.record, "confirmed").await;
    let there = world.opencrvs.record(&by_id.record).unwrap();
    assert_eq!(there.identifiers["NATIONAL_ID"], "7770002222");

    decided(&world, without, &["without-id"]).await;
    ends_as(&world, &without.record, Status::Registered).await;
    stands_as(&world, &without.record, "confirmed").await;
    assert!(!world.opencrvs.record(&without.record).unwrap().identifiers.contains_key("NATIONAL_ID"));

    decided(&world, rejected, &["reject"]).await;
    ends_as(&world, &rejected.record, Status::Rejected).await;
    stands_as(&world, &rejected.record, "rejected").await;

    decided(&world, closed, &["close"]).await;
    stands_as(&world, &closed.record, "closed").await;
    assert_eq!(confirms(&world, &closed.record), 0);

    for twin in [by_id, without] {
        assert_eq!(confirms(&world, &twin.record), 1);
    }
    assert!(world.opencrvs.events_tally().is_undamaged());
    assert_eq!(world.nid.state().requests, 5, "nobody was asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_first_answer_may_have_arrived_is_not_given_another_one() {
    let world = crate::events::world(Engine::Sqlite, &[("RETRY_STEPS", "50ms")]).await;
    let births = people(Kind::Birth, 2, 305);
    let [unknown, refused] = births.as_slice() else { unreachable!() };
    // The answer to `unknown` is lost after OpenCRVS took it, and the next try is refused.
    for (birth, faults) in
        [(unknown, &[Fault::CUT_AFTER, Fault::NO_SCOPE][..]), (refused, &[Fault::NO_SCOPE][..])]
    {
        for fault in faults {
            world.opencrvs.faults().next(Calls::Action, 1, *fault);
        }
        world.opencrvs.submit_event(birth, &world.front, SubmitOptions::default()).await.unwrap();
        stands_as(&world, &birth.record, "parked").await;
    }
    ends_as(&world, &unknown.record, Status::Registered).await;
    // During the quarantine nothing is decided at all.
    eventually(SOON, "the decision is refused for good", async || {
        let (code, said) = decide(&world, unknown, &["without-id"]).await;
        assert_ne!(code, Some(0), "{said}");
        said.contains("the result of a write to OpenCRVS is unknown").then_some(())
    })
    .await;
    // No write of this attempt can have reached OpenCRVS.
    decided(&world, refused, &["close"]).await;
    assert!(
        world
            .ledger
            .newest_attempt(&RecordId::parse(&refused.record).unwrap())
            .await
            .unwrap()
            .is_some_and(|case| case.record.intent.is_none())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_event_is_answered_by_hand_and_the_late_reply_changes_nothing() {
    let world = crate::events::world(Engine::Sqlite, &[]).await;
    let birth = people(Kind::Birth, 1, 304).remove(0);
    world.nid.will_answer(&request_of(&birth.record, "birth"), Final::Rejected("duplicate_person"));
    world.nid.pause_replies();
    world.opencrvs.submit_event(&birth, &world.front, SubmitOptions::default()).await.unwrap();
    stands_as(&world, &birth.record, "requested").await;
    decided(&world, &birth, &["without-id"]).await;
    ends_as(&world, &birth.record, Status::Registered).await;
    world.nid.resume_replies();
    eventually(SOON, "the late rejection contradicts", async || {
        let history = world.history(&birth.record).await;
        history.iter().any(|entry| entry.what == "reply_refused").then_some(())
    })
    .await;
    assert_eq!(confirms(&world, &birth.record), 1);
}
