//! `nidbridge reconcile` reports differences in both directions, and nothing if there are none.

use jiff::Timestamp;
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Calls, Claims, Fault, Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};
use serde_json::Value;

use super::json_of;
use crate::gateway::{confirms, submitted};
use crate::harness::ledgers::Engine;
use crate::harness::world::{World, request_of};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![differences_in_both_directions_are_reported_and_nothing_else];

const SEARCHES: [&str; 3] = ["search.birth", "search.death", "search.marriage"];

fn token_file(world: &World, scope: &[&str]) -> String {
    let claims = Claims::user("5f0000000000000000000000", scope, Timestamp::now());
    let path = world.dir.join("token");
    std::fs::write(&path, world.opencrvs.mint(&claims).unwrap()).unwrap();
    path.display().to_string()
}

/// A held record, a confirmed one, and two whose answer OpenCRVS does not have.
async fn four_of_them(world: &mut World) -> Vec<Declaration> {
    let mut all = people(Kind::Birth, 1, 61);
    all.extend(people(Kind::Marriage, 3, 62));
    world.nid.will_answer(&request_of(&all[0].record, "birth"), Final::Rejected("not_eligible"));
    for declaration in &all[..2] {
        submitted(world, declaration).await;
    }
    stands_as(world, &all[0].record, "held").await;
    ends_as(world, &all[1].record, Status::Registered).await;
    stands_as(world, &all[1].record, "confirmed").await;
    world.kill9("confirmer");
    for declaration in &all[2..] {
        submitted(world, declaration).await;
        stands_as(world, &declaration.record, "answered").await;
    }
    all
}

/// Of each difference: kind, record, state in the ledger, state in OpenCRVS.
fn told(report: &Value) -> Vec<(String, String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let differences = report["differences"].as_array().unwrap();
    let mut told: Vec<_> = differences
        .iter()
        .map(|one| {
            (text(&one["kind"]), text(&one["record"]), text(&one["ours"]["state"]), text(&one["opencrvs"]))
        })
        .collect();
    told.sort();
    told
}

async fn differences_in_both_directions_are_reported_and_nothing_else(engine: Engine) {
    let mut world = World::new(engine).await;
    let all = four_of_them(&mut world).await;
    let token = token_file(&world, &SEARCHES);
    let with_token = ["reconcile", "--json", "--grace", "1ms", "--token-file", &token];
    let (code, agrees) = json_of(&world, &with_token).await;
    assert_eq!((code, told(&agrees)), (Some(0), vec![]), "{agrees}");
    assert_eq!((agrees["open"].as_u64(), agrees["waiting"].as_u64()), (Some(3), Some(3)), "{agrees}");
    // A record that a registrar archived, one that a registrar sent back to validation, and one
    // that the bridge never received.
    let unknown = people(Kind::Death, 1, 63).remove(0);
    let nobody = format!("http://127.0.0.1:{}/", crate::harness::ports::free_port()).parse().unwrap();
    world.opencrvs.submit(&unknown, &nobody, SubmitOptions::default()).await.unwrap();
    world.opencrvs.set_status(&all[2].record, Status::Archived);
    world.opencrvs.set_status(&all[1].record, Status::WaitingValidation);
    world.opencrvs.set_status(&unknown.record, Status::WaitingValidation);
    let row = |kind: &str, record: &str, ours: &str, theirs: &str| {
        (kind.to_owned(), record.to_owned(), ours.to_owned(), theirs.to_owned())
    };
    let archived = row("not_waiting", &all[2].record, "answered", "moved_on");
    let mut both = vec![
        archived.clone(),
        row("not_open", &all[1].record, "confirmed", "waiting"),
        row("not_open", &unknown.record, "unknown", "waiting"),
    ];
    both.sort();
    let (code, differs) = json_of(&world, &with_token).await;
    assert_eq!((code, told(&differs)), (Some(3), both));
    let (code, one_kind) = json_of(&world, &["reconcile", "--json", "--grace", "1ms"]).await;
    assert_eq!((code, told(&one_kind), &one_kind["waiting"]), (Some(3), vec![archived], &Value::Null));
    let (code, young) = json_of(&world, &["reconcile", "--json", "--token-file", &token]).await;
    assert_eq!((code, told(&young)), (Some(0), vec![]), "younger than the default --grace");
    let (code, table) = world.run(&["reconcile", "--grace", "1ms"], &[]).await;
    assert_eq!(code, Some(3));
    assert!(table.contains(&all[2].tracking_id) && table.contains("--token-file"), "{table}");
    let written: Vec<usize> = all.iter().map(|one| confirms(&world, &one.record)).collect();
    assert_eq!(written, [0, 1, 0, 0], "it only reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_cannot_be_compared_do_not_count_as_equal() {
    let mut world = World::new(Engine::Sqlite).await;
    four_of_them(&mut world).await;
    for (scope, why) in
        [(&["record.register"][..], "NoSearch"), (&["search.birth", "recordsearch"], "client")]
    {
        let token = token_file(&world, scope);
        let (code, text) = world.run(&["reconcile", "--token-file", &token], &[]).await;
        assert_eq!((code, text.as_str()), (Some(1), ""), "{why}");
    }
    world.opencrvs.faults().always(Calls::Fetch, Fault::UNAUTHORIZED);
    let (code, report) = json_of(&world, &["reconcile", "--json"]).await;
    assert_eq!((code, report["not_compared"]["token_refused"].as_u64()), (Some(1), Some(3)), "{report}");
    world.opencrvs.faults().clear();
    let (code, _) = world.run(&["reconcile"], &[("GATEWAY_URL", "http://127.0.0.1:1")]).await;
    assert_eq!(code, Some(69));
    let other = ("SEAL_KEYS", "other:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let (code, _) = world.run(&["reconcile"], &[other]).await;
    assert_eq!(code, Some(78));
}
