//! Registrations that the ID system cannot be asked about: the front refuses them at once, names
//! the fields, and stores nothing.

use nidbridge::domain::Role;
use nidbridge::sandbox::population::Declaration;
use serde_json::{Value, json};

use super::events::{REGISTER, action_token, event, front, post};
use super::wire::Post;
use super::{NAME, births, boom, bundle, resources, stored, token, view};
use crate::harness::world::World;

/// The bundle of a birth after this change to the child.
fn changed(declaration: &Declaration, change: impl FnOnce(&mut Value)) -> String {
    let mut bundle = bundle(declaration);
    let child = resources(&mut bundle, "Patient").find(|patient| patient["name"].to_string().contains(NAME));
    change(child.unwrap());
    bundle.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_birth_that_cannot_be_asked_about_is_answered_422_with_its_fields() {
    let world = World::with_front(&[]).await;
    let births = births(8, 131);
    for (declaration, (member, value, field)) in births.iter().zip([
        ("birthDate", Value::Null, "subject.date_of_birth"),
        ("birthDate", json!("5/9/2026"), "subject.date_of_birth"),
        ("birthDate", json!("2569-09-05"), "subject.date_of_birth"),
        ("gender", json!("intersex"), "subject.sex"),
        ("gender", Value::Null, "subject.sex"),
        (
            "name",
            json!([{ "use": "ta", "given": ["நி".repeat(101), NAME], "family": "பெரேரா" }]),
            "subject.name",
        ),
    ]) {
        let body = changed(declaration, |child| child[member] = value);
        let answer = Post::new(&token(&world, declaration), body.as_str()).to(&world.front).await;
        let message = boom(&answer, field, 422, "Unprocessable Entity");
        assert!(message.contains(field), "{message}");
    }
    let refused = world.metric("front", "nidbridge_received_total", "outcome=\"unfit\"");
    assert_eq!(refused, 6.0);
    let name = json!([
        { "use": "en", "family": "Perera" },
        { "use": "ta", "given": [NAME, "நிமாலி".repeat(14)], "family": "பெரேரா" },
    ]);
    for (declaration, member, value) in
        [(&births[6], "birthDate", json!("2026-9-5")), (&births[7], "name", name)]
    {
        let body = changed(declaration, |child| child[member] = value);
        let answer = Post::new(&token(&world, declaration), body.as_str()).to(&world.front).await;
        assert_eq!(answer.status, 202, "{member}: {answer:?}");
    }
    let stored = stored(&world).await;
    assert_eq!(stored.len(), 2, "nothing of the others is stored");
    let child = view(&stored[1]).1.person(Role::Child).cloned().unwrap();
    assert_eq!((child.lang.as_deref(), child.names.len()), (Some("ta"), 2));
    assert_eq!(child.name.unwrap().middlename.unwrap(), "நிமாலி".repeat(14));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_asked_about_is_rejected_with_its_fields() {
    let world = front(&[]).await;
    for (number, (member, value, field)) in [
        ("child.dob", Value::Null, "subject.date_of_birth"),
        ("child.gender", json!("intersex"), "subject.sex"),
        ("child.name", json!({ "firstname": "ক".repeat(120), "surname": "খ".repeat(80) }), "subject.name"),
        ("mother.nid", json!("9".repeat(65)), "parents.mother.national_id"),
    ]
    .into_iter()
    .enumerate()
    {
        let (id, action) = (format!("event-{number}"), format!("action-{number}"));
        let mut document = event(&id, &action);
        document["actions"][1]["declaration"][member] = value;
        let token = action_token(&world, &id, &action);
        let answer = post(&world.front, REGISTER, &token, document.to_string().as_bytes()).await;
        assert_eq!(answer.status, 400, "{field}: {answer:?}");
        assert!(answer.body.contains(field), "{answer:?}");
    }
    let (good, token) = (event("event-9", "action-9"), action_token(&world, "event-9", "action-9"));
    assert_eq!(post(&world.front, REGISTER, &token, good.to_string().as_bytes()).await.status, 202);
    assert_eq!(stored(&world).await.len(), 1, "nothing of the others is stored");
}
