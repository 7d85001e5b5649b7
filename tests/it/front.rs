//! The front's answers, byte for byte: to different callers, to different bodies, and while a
//! dependency is away.
//!
//! The front is a process of the product. The callers are raw sockets, because the exact bytes
//! matter.

mod answers;
mod away;
mod bodies;
mod country;
mod events;
mod forms;
mod hangups;
mod keys;
mod tokens;
mod unfit;
pub mod wire;

use nidbridge::broker::Incoming;
use nidbridge::domain::View;
use nidbridge::pipeline::RegistrationMessage;
use nidbridge::sandbox::population::{AttemptFacts, Declaration, Kind, correct_name};
use nidbridge::seal::{Field, Sealer};
use secrecy::SecretString;
use serde_json::Value;

use crate::harness::eventually;
use crate::harness::ledgers::SEAL_KEYS;
use crate::harness::world::{SOON, World};
use crate::pipeline::people;
use wire::Answer;

/// A name that can be in no log and no answer by chance.
const NAME: &str = "Qorvyxandra";
/// The queue of accepted registrations.
const ACCEPTED: &str = "registrations.work";

/// Different births. [`bundle`] gives the child the unique name.
pub fn births(count: usize, seed: u64) -> Vec<Declaration> {
    people(Kind::Birth, count, seed)
}

pub fn bundle(declaration: &Declaration) -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let mut bundle = declaration.bundle(&AttemptFacts { last_modified: now, earlier: Vec::new() });
    assert!(correct_name(&mut bundle, NAME));
    bundle
}

/// The token that OpenCRVS would send with this declaration.
pub fn token(world: &World, declaration: &Declaration) -> String {
    world.opencrvs.mint(&world.opencrvs.record_claims(&declaration.record)).unwrap()
}

fn resources<'b>(bundle: &'b mut Value, kind: &'b str) -> impl Iterator<Item = &'b mut Value> {
    let entries = bundle["entry"].as_array_mut().unwrap().iter_mut().map(|entry| &mut entry["resource"]);
    entries.filter(move |resource| resource["resourceType"] == kind)
}

/// Takes every accepted registration out of the queue, oldest first.
async fn stored(world: &World) -> Vec<Incoming> {
    let look = world.look().await;
    // The front sets up its queues in the background, and a request that is refused waits for none.
    let there = async || look.depth(ACCEPTED).await.ok().map(drop);
    eventually(SOON, "the queue exists", there).await;
    let mut found = Vec::new();
    while let Some(message) = look.take(ACCEPTED).await.unwrap() {
        found.push(message);
    }
    assert_eq!(look.depth(ACCEPTED).await.unwrap().ready, 0);
    look.close().await;
    found
}

/// The view in a stored message.
fn view(message: &Incoming) -> (RegistrationMessage, View) {
    let message: RegistrationMessage = serde_json::from_slice(&message.body).unwrap();
    let sealer = Sealer::parse(&SecretString::from(SEAL_KEYS)).unwrap();
    let open = sealer.open(&message.registration.key.record, Field::View, &message.sealed_view).unwrap();
    let view = serde_json::from_slice(&open).unwrap();
    (message, view)
}

/// Checks that an answer has the shape of hapi's boom and names no person; returns its message.
fn boom(answer: &Answer, what: &str, status: u16, error: &str) -> String {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert!(answer.header("content-type").unwrap().starts_with("application/json"), "{what}: {answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let message = body["message"].as_str().unwrap();
    let expected = serde_json::json!({
        "statusCode": status, "error": error, "message": message, "msg": message
    });
    assert_eq!(body, expected, "{what}");
    assert!(!answer.body.contains(NAME), "{what}: {answer:?}");
    assert_eq!(answer.header("retry-after").is_some(), [429, 503].contains(&status), "{what}: {answer:?}");
    message.to_owned()
}
