//! Every real bundle in the folder that `NIDBRIDGE_FIXTURES` names is registered.

use std::path::PathBuf;

use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::correct_name;
use serde_json::Value;

use super::{ends_as, on_both_ledgers, stands_as_second};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};

on_both_ledgers![every_real_bundle_ends_as_one_registration_whichever_attempt_is_answered];

fn bundles() -> Vec<(String, Value)> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
    let folder = std::env::var("NIDBRIDGE_FIXTURES").map_or(beside, PathBuf::from).join("fhir");
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.display().to_string(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}

fn record_id(bundle: &Value) -> String {
    let entries = bundle["entry"].as_array().unwrap();
    let composition = entries.iter().find(|entry| entry["resource"]["resourceType"] == "Composition");
    composition.unwrap()["resource"]["id"].as_str().unwrap().to_owned()
}

async fn every_real_bundle_ends_as_one_registration_whichever_attempt_is_answered(engine: Engine) {
    let bundles = bundles();
    if bundles.is_empty() {
        eprintln!(
            "SKIPPED: no real bundles: set NIDBRIDGE_FIXTURES to the folder that has fhir/*.json (0 went through)"
        );
        return;
    }
    for first_is_answered_late in [false, true] {
        let world = World::checked(engine, &[]).await;
        if first_is_answered_late {
            world.nid.pause_replies();
        }
        for (file, bundle) in &bundles {
            let id = record_id(bundle);
            let lost = SubmitOptions { lose_answer: true, ..SubmitOptions::default() };
            let first = world.opencrvs.submit_bundle(bundle, &world.front, lost).await.unwrap();
            assert!(first.result.is_success(), "{file}: {:?}", first.result);
            let asked = async || (world.nid.state().requests > 0).then_some(());
            eventually(SOON, "the ID system was asked", asked).await;
            let mut corrected = bundle.clone();
            assert!(correct_name(&mut corrected, "Corrected"), "{file}");
            let second = world
                .opencrvs
                .submit_bundle(&corrected, &world.front, SubmitOptions::default())
                .await
                .unwrap();
            assert!(second.result.is_success(), "{file}: {:?}", second.result);
            stands_as_second(&world, &id).await;
        }
        world.nid.resume_replies();
        for (file, bundle) in &bundles {
            let id = record_id(bundle);
            ends_as(&world, &id, Status::Registered).await;
            let record = world.opencrvs.record(&id).unwrap();
            assert_eq!((record.confirms.len(), record.numbers.len()), (1, 1), "{file}");
        }
        let seen = world.nid.state();
        assert_eq!((seen.persons_doubled, seen.ids_doubled, seen.changed_repeats), (0, 0, 0));
    }
    eprintln!("{} real bundles went through on {engine:?}", bundles.len());
}
