//! Wrong replies of an ID system: the pipeline goes on, no registration is lost or ends
//! differently, and each fault is reported.

mod progress;
mod refused;
mod spellings;
mod unusable;

use nidbridge::pipeline::targets;
use std::collections::BTreeMap;

use nidbridge::broker::{Link, Outgoing};
use nidbridge::sandbox::opencrvs::SubmitOptions;
use nidbridge::sandbox::population::{Declaration, Kind};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::eventually;
use crate::harness::world::{SOON, World};
use crate::pipeline::people;

/// A second vendor, which sends whatever the test wants.
pub struct Vendor(Link);

impl Vendor {
    pub async fn of(world: &World) -> Self {
        Self(world.vendor_link().await)
    }

    pub async fn says(&self, body: Vec<u8>) -> String {
        let id = Uuid::new_v4().to_string();
        let outgoing = Outgoing {
            id: id.clone(),
            kind: "crvs.nid.reply.v1",
            content_type: "application/cloudevents+json",
            correlation_id: None,
            headers: BTreeMap::new(),
            body,
        };
        self.0.publisher().publish(&targets::nid_replies("reply.birth"), outgoing).await.expect("a reply");
        id
    }

    /// Sends a reply that conforms to the schema.
    pub async fn replies(&self, data: &Value) {
        self.says(event(data).to_string().into_bytes()).await;
    }
}

/// A reply: the CloudEvents envelope around `data`.
pub fn event(data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": Uuid::new_v4().to_string(), "source": "/another-vendor",
        "type": "crvs.nid.reply.v1", "time": "2026-10-23T10:00:00Z", "datacontenttype": "application/json",
        "data": data,
    })
}

/// The `data` of an answer to a submission.
pub fn answer(request: &str, submission: u64, status: &str) -> Value {
    json!({ "request_id": request, "submission": submission, "status": status })
}

pub fn issued(request: &str, submission: u64, id: &str) -> Value {
    json!({ "request_id": request, "submission": submission, "status": "issued", "national_id": id })
}

pub fn rejected(request: &str, submission: u64) -> Value {
    let reason = json!({ "code": "policy", "message": "no", "fields": [] });
    json!({ "request_id": request, "submission": submission, "status": "rejected", "reason": reason })
}

pub async fn submit(world: &World, kind: Kind, count: usize, seed: u64) -> Vec<Declaration> {
    let declarations = people(kind, count, seed);
    for declaration in &declarations {
        let submitted =
            world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
        assert!(submitted.result.is_success(), "{:?}", submitted.result);
    }
    declarations
}

/// The same, with a vendor that has read the requests and holds its answers back.
pub async fn asked(world: &World, kind: Kind, count: usize, seed: u64) -> Vec<Declaration> {
    world.nid.pause_replies();
    let before = world.nid.state().persons;
    let all = before + u64::try_from(count).unwrap();
    let declarations = submit(world, kind, count, seed).await;
    eventually(SOON, "the ID system was asked", async || (world.nid.state().persons >= all).then_some(()))
        .await;
    declarations
}

/// Waits until the history of a record has a reply that was refused for this cause.
pub async fn refused(world: &World, record: &str, cause: &str) {
    eventually(SOON, &format!("a reply about {record} is refused: {cause}"), async || {
        let history = world.history(record).await;
        let found = |entry: &&nidbridge::ledger::HistoryEntry| {
            entry.what == "reply_refused" && entry.cause.as_ref().is_some_and(|found| found.as_str() == cause)
        };
        history.iter().find(found).map(|_| ())
    })
    .await;
}

/// Waits until a role has raised this alarm this many times.
pub async fn alarmed(world: &World, role: &'static str, cause: &str, times: f64) {
    let label = format!("cause=\"{cause}\"");
    eventually(SOON, &format!("{role} raises {cause}"), async || {
        (world.metric(role, "nidbridge_alarms_total", &label) >= times).then_some(())
    })
    .await;
}
