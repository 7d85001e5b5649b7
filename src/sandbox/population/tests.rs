use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};

use super::*;

fn facts(at: &str) -> AttemptFacts {
    let earlier = ["DECLARED", "WAITING_VALIDATION", "REJECTED"].map(|status| Earlier {
        status: status.to_owned(),
        at: format!("2026-01-04T10:00:00.{}00Z", status.len() % 10),
    });
    AttemptFacts { last_modified: at.to_owned(), earlier: earlier.to_vec() }
}

fn crowd(count: usize) -> Vec<(Declaration, Value)> {
    let facts = facts("2026-01-05T10:00:00.000Z");
    Population::new(9, Mix::default()).take(count).map(|one| (one.clone(), one.bundle(&facts))).collect()
}

fn of_type<'a>(bundle: &'a Value, kind: &str) -> Vec<&'a Value> {
    let entries = bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
    entries.filter(|resource| resource["resourceType"] == kind).collect()
}

/// The resource that a section points to, if the bundle contains it.
fn section<'a>(bundle: &'a Value, code: &str) -> Option<&'a Value> {
    let sections = of_type(bundle, "Composition")[0]["section"].as_array().unwrap();
    let found = sections.iter().find(|section| section["code"]["coding"][0]["code"] == code)?;
    let (kind, id) = found["entry"][0]["reference"].as_str().unwrap().split_once('/').unwrap();
    of_type(bundle, kind).into_iter().find(|resource| resource["id"] == id)
}

#[test]
fn nobody_shares_a_record_or_a_tracking_id_and_the_mix_holds() {
    let all: Vec<_> = Population::new(7, Mix::default()).take(2_000).collect();
    assert_eq!(all.iter().map(|one| &one.record).collect::<HashSet<_>>().len(), 2_000);
    assert_eq!(all.iter().map(|one| &one.tracking_id).collect::<HashSet<_>>().len(), 2_000);
    assert!(all.iter().all(|one| one.tracking_id.len() == 7));
    for (kind, share) in [(Kind::Birth, 1_400), (Kind::Death, 400), (Kind::Marriage, 200)] {
        let count = all.iter().filter(|one| one.kind == kind).count();
        assert!(count.abs_diff(share) < 10, "{kind:?}: {count}");
    }
}

#[test]
fn the_same_seed_makes_the_same_people() {
    let bundles = |seed| {
        let facts = facts("2026-01-05T10:00:00.000Z");
        Population::new(seed, Mix::default()).take(20).map(|one| one.bundle(&facts)).collect::<Vec<_>>()
    };
    assert_eq!(bundles(3), bundles(3));
    assert_ne!(bundles(3), bundles(4));
}

#[test]
fn every_section_leads_somewhere_and_the_id_system_finds_what_it_needs() {
    let mut without_id = 0;
    for (declaration, bundle) in crowd(300) {
        let (subject, others) = match declaration.kind {
            Kind::Birth => ("child-details", ["mother-details", "father-details", "birth-encounter"]),
            Kind::Death => ("deceased-details", ["spouse-details", "informant-details", "death-encounter"]),
            Kind::Marriage => {
                ("groom-details", ["bride-details", "witness-one-details", "marriage-encounter"])
            }
        };
        for code in others.into_iter().chain(["informant-details"]) {
            assert!(section(&bundle, code).is_some(), "{code} of {:?}", declaration.kind);
        }
        let subject = section(&bundle, subject).unwrap();
        assert!(subject["name"][0]["given"][0].is_string() && subject["birthDate"].is_string());
        match declaration.kind {
            Kind::Birth => assert!(["male", "female"].contains(&subject["gender"].as_str().unwrap())),
            Kind::Death => {
                assert!(subject["deceasedDateTime"].is_string());
                let known = subject.get("identifier").is_some();
                assert_eq!(known, declaration.deceased_has_national_id());
                without_id += usize::from(!known);
            }
            Kind::Marriage => {}
        }
        let text = bundle.to_string();
        assert!(!text.contains("${"), "a placeholder without a fact: {text}");
        assert!((10_000..40_000).contains(&text.len()), "{} bytes", text.len());
    }
    assert!((1..10).contains(&without_id), "{without_id} deceased without an ID");
}

#[test]
fn the_crowd_holds_everything_that_real_documents_surprise_with() {
    let mut seen = BTreeSet::new();
    for (declaration, bundle) in crowd(300) {
        let people = of_type(&bundle, "Patient");
        let names = || people.iter().filter_map(|person| person["name"].as_array()).flatten();
        let mut note = |what: &'static str, there: bool| seen.extend(there.then_some(what));
        note("family as a list", names().any(|name| name["family"].is_array()));
        note("family as a text", names().any(|name| name["family"].is_string()));
        note("two languages", names().any(|name| name["use"] == "bn"));
        note("nobody there", people.iter().any(|person| person["active"] == false));
        let roles = of_type(&bundle, "PractitionerRoleHistory");
        let ids: HashSet<_> = roles.iter().map(|role| role["id"].as_str()).collect();
        note("history ids that repeat", ids.len() < roles.len());
        note("task history", of_type(&bundle, "TaskHistory").len() == 3);
        note("internal keys", bundle.to_string().contains("\"_transforms\""));
        note("no meta of its own", bundle.get("meta").is_none());
        let register = declaration.shape == Shape::Register;
        assert_eq!(register, !roles.is_empty());
        assert_eq!(of_type(&bundle, "Task").len(), 1);
        assert_eq!(of_type(&bundle, "Task")[0]["lastModified"], "2026-01-05T10:00:00.000Z");
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn an_unfit_declaration_lacks_the_date_that_the_id_system_must_know() {
    let people = Population::new(5, Mix { unfit: 0.5, ..Mix::default() }).take(200);
    let unfit: Vec<Declaration> = people.filter(|one| one.is_unfit).collect();
    for one in &unfit {
        let bundle = one.bundle(&facts("2026-01-05T10:00:00.000Z"));
        let (code, date) = match one.kind {
            Kind::Birth => ("child-details", "birthDate"),
            Kind::Death => ("deceased-details", "deceasedDateTime"),
            Kind::Marriage => panic!("nobody is asked about a marriage"),
        };
        assert!(section(&bundle, code).unwrap().get(date).is_none(), "{one:?}");
        assert!(
            one.request(None, true).is_none() && (one.kind == Kind::Birth || one.deceased_has_national_id())
        );
    }
    let deaths = unfit.iter().filter(|one| one.kind == Kind::Death).count();
    assert!(deaths > 10 && unfit.len() - deaths > 50, "{deaths} of {}", unfit.len());
}

#[test]
fn national_ids_are_of_one_person_each() {
    let mut seen = HashSet::new();
    for (_, bundle) in crowd(500) {
        for person in of_type(&bundle, "Patient") {
            for identifier in person["identifier"].as_array().into_iter().flatten() {
                let id = identifier["value"].as_str().unwrap().to_owned();
                assert!(id.len() == 10 && id.as_str() < "5", "{id} could be one that is issued");
                assert!(seen.insert(id));
            }
        }
    }
}

#[test]
fn a_correction_changes_the_name_of_whom_it_is_about_and_nothing_else() {
    for (declaration, bundle) in crowd(30) {
        let mut corrected = bundle.clone();
        assert!(correct_name(&mut corrected, "Amended"));
        let code = match declaration.kind {
            Kind::Birth => "child-details",
            Kind::Death => "deceased-details",
            Kind::Marriage => "groom-details",
        };
        assert_eq!(section(&corrected, code).unwrap()["name"][0]["given"][0], "Amended");
        let before = section(&bundle, code).unwrap()["name"][0]["given"][0].as_str().unwrap();
        assert!(correct_name(&mut corrected, before));
        assert_eq!(corrected, bundle);
    }
    assert!(!correct_name(&mut json!({"entry": []}), "Amended"));
}
