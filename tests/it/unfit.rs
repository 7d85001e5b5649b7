//! Registrations that only the worker finds unfit: those of an older release's front, and those
//! that no front has. Their cause is `unfit`, nobody says that the ID system rejected them, and an
//! operator ends each in every way that the generation knows.

use std::collections::BTreeMap;

use nidbridge::broker::Outgoing;
use nidbridge::domain::{Cause, RecordId, Role, View};
use nidbridge::pipeline::{RegistrationMessage, targets};
use nidbridge::sandbox::population::{Declaration, Kind};
use nidbridge::seal::{Field, Sealer};
use secrecy::SecretString;

use crate::gateway::{confirmed_once, confirms, standing, submitted};
use crate::harness::ledgers::{Engine, SEAL_KEYS};
use crate::harness::world::World;
use crate::operator::decide::{decide, decided, id_file};
use crate::pipeline::{people, stands_as};

/// The sealed view of a record without the date of birth or of death.
pub fn without_date(record: &RecordId, sealed_view: &str) -> String {
    let sealer = Sealer::parse(&SecretString::from(SEAL_KEYS)).unwrap();
    let mut view: View =
        serde_json::from_slice(&sealer.open(record, Field::View, sealed_view).unwrap()).unwrap();
    for (role, person) in &mut view.persons {
        if [Role::Child, Role::Deceased].contains(role) {
            (person.dob, person.date_of_death) = (None, None);
        }
    }
    view.event_details.date = None;
    sealer.seal(record, Field::View, &serde_json::to_vec(&view).unwrap()).unwrap()
}

/// Puts registrations into the queue that an older release's front would have accepted.
async fn accepted_by_an_older_front(world: &mut World, births: &[Declaration]) {
    world.start("front");
    world.ready("front").await;
    for birth in births {
        submitted(world, birth).await;
    }
    let link = world.look().await;
    let mut accepted = Vec::new();
    while let Some(stored) = link.take("registrations.work").await.unwrap() {
        accepted.push(stored);
    }
    assert_eq!(accepted.len(), births.len());
    for stored in accepted {
        let mut message: RegistrationMessage = serde_json::from_slice(&stored.body).unwrap();
        message.sealed_view = without_date(&message.registration.key.record, &message.sealed_view);
        let outgoing = Outgoing {
            id: stored.id.unwrap(),
            kind: "registration.v1",
            content_type: "application/json",
            correlation_id: None,
            headers: BTreeMap::new(),
            body: serde_json::to_vec(&message).unwrap(),
        };
        link.publisher().publish(&targets::registrations(), outgoing).await.unwrap();
    }
    link.close().await;
}

/// The ID system was never asked, and no alarm says that it rejected anything.
fn the_id_system_is_not_blamed(world: &World) {
    assert_eq!(world.nid.state().requests, 0);
    for role in ["worker", "confirmer"] {
        assert_eq!(world.metric(role, "nidbridge_alarms_total", "rejected_by_id_system"), 0.0, "{role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_worker_finds_unfit_is_held_as_such_and_ends_in_each_way_of_the_fhir_generation() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let births = people(Kind::Birth, 5, 311);
    accepted_by_an_older_front(&mut world, &births).await;
    for role in ["worker", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
    for birth in &births {
        let held = standing(&world, &birth.record, "held", "unfit").await;
        assert_eq!(held.cause, Some(Cause::Unfit.into()));
        let (_, shown) = world.run(&["attempts", "show", &birth.record], &[]).await;
        assert!(shown.contains("subject.date_of_birth"), "{shown}");
        assert!(!shown.contains("rejected_by_id_system"), "{shown}");
    }
    let [by_id, without, again, closed, policy] = births.as_slice() else { unreachable!() };

    decided(&world, by_id, &["issued", "--id-file", &id_file(&world, "5550101111")]).await;
    confirmed_once(&world, &by_id.record, "an ID by hand").await;
    assert_eq!(world.opencrvs.record(&by_id.record).unwrap().identifiers["NATIONAL_ID"], "5550101111");

    decided(&world, without, &["without-id", "--comment", "to be completed"]).await;
    confirmed_once(&world, &without.record, "without an ID").await;

    // It is still unfit, and still nobody else's fault.
    decided(&world, again, &["ask-again"]).await;
    let held = standing(&world, &again.record, "held", "unfit again").await;
    assert_eq!(held.cause, Some(Cause::Unfit.into()));

    decided(&world, closed, &["close"]).await;
    stands_as(&world, &closed.record, "closed").await;

    let refused = decide(&world, policy, &["reject"]).await;
    assert!(refused.0 == Some(1) && refused.1.contains("cannot be told of a rejection"), "{refused:?}");
    world.set("CONFIRM_NEGATIVE", "confirm-with-comment");
    world.kill9("confirmer");
    world.start("confirmer");
    world.ready("confirmer").await;
    decided(&world, policy, &["policy"]).await;
    confirmed_once(&world, &policy.record, "the new policy").await;
    let comment = world.opencrvs.record(&policy.record).unwrap().confirms.remove(0).comment.unwrap();
    assert!(comment.contains("subject.date_of_birth") && !comment.contains("ID system"), "{comment}");
    assert_eq!(confirms(&world, &closed.record), 0);
    the_id_system_is_not_blamed(&world);
}
