//! The simulated ID system on a real broker, with the rights of a vendor only.

use nidbridge::pipeline::{names, targets, topology};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use nidbridge::broker::{Link, LinkSettings, Outgoing, Topology};
use nidbridge::sandbox::nid::{Final, NidSim, VendorSettings};
use serde_json::{Value, json};

use crate::harness::vhosts::connected;
use crate::harness::{Vhosts, eventually};

const SOON: Duration = Duration::from_secs(30);

fn request(kind: &str, person: usize) -> Outgoing {
    let id = format!("{kind}-{person}");
    let subject = match kind {
        "birth" => json!({"name": {"full": "Amara Banda"}, "date_of_birth": "2025-12-30", "sex": "female"}),
        _ => json!({"national_id": format!("1{person:09}"), "date_of_death": "2025-12-30"}),
    };
    let body = json!({
        "specversion": "1.0", "id": id, "source": "/bridge", "type": format!("crvs.nid.{kind}.request.v1"),
        "time": "2026-01-05T10:00:00Z", "datacontenttype": "application/json",
        "data": {
            "submission": 1, "expires_at": "2026-01-12T10:00:00Z", "subject": subject,
            "registration": {"number": format!("2026{id}"), "registered_on": "2026-01-05"}
        }
    });
    Outgoing {
        id: id.clone(),
        kind: "crvs.nid.request.v1",
        content_type: "application/cloudevents+json",
        correlation_id: Some(id),
        headers: BTreeMap::new(),
        body: body.to_string().into_bytes(),
    }
}

/// A link of the bridge, and one of the vendor, who may declare nothing.
async fn both(vhosts: &Vhosts) -> (Link, Link) {
    let ours = Link::open(
        &vhosts.nid_link_settings("bridge"),
        topology::national_id(&vhosts.settings),
        std::sync::Arc::new(nidbridge::broker::Unobserved),
    );
    let ours = connected(ours).await;
    let vendor = LinkSettings { apply_topology: false, ..LinkSettings::new("vendor", vhosts.vendor_url()) };
    let vendor = Link::open(
        &vendor,
        Topology::empty(&vhosts.vendor),
        std::sync::Arc::new(nidbridge::broker::Unobserved),
    );
    (ours, connected(vendor).await)
}

async fn replies(link: &Link, count: usize) -> Vec<(String, Value)> {
    let mut got = Vec::new();
    while got.len() < count {
        let reply = eventually(SOON, "a reply", async || link.take(names::NID_REPLIES).await.unwrap()).await;
        assert_eq!(reply.content_type.as_deref(), Some("application/cloudevents+json"));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply.correlation_id.as_deref(), body["data"]["request_id"].as_str());
        assert_eq!(reply.id.as_deref(), body["id"].as_str());
        got.push((reply.routing_key, body["data"].clone()));
    }
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_id_system_answers_every_request_under_a_vendors_rights() {
    let vhosts = Vhosts::fresh().await;
    let (ours, vendors) = both(&vhosts).await;
    let settings =
        VendorSettings { latency_ms: (0, 20), late: 0.2, late_by_ms: 1_500, ..VendorSettings::default() };
    let sim = NidSim::start(settings, &vendors);
    for person in 0..20 {
        for kind in names::NID_KINDS {
            ours.publisher().publish(&targets::nid_requests(kind), request(kind, person)).await.unwrap();
        }
    }
    let mut ids = HashMap::new();
    for (key, said) in replies(&ours, 40).await {
        let request = said["request_id"].as_str().unwrap().to_owned();
        let kind = request.split('-').next().unwrap();
        assert_eq!(key, format!("reply.{kind}"));
        assert_eq!(said["status"], if kind == "birth" { "issued" } else { "recorded" });
        if let Some(id) = said["national_id"].as_str() {
            assert!(ids.insert(id.to_owned(), request).is_none(), "an ID was issued twice");
        }
    }
    let state = sim.state();
    assert_eq!((state.requests, state.persons, ids.len()), (40, 40, 20));
    assert_eq!((state.ended("issued"), state.ended("recorded")), (20, 20));
    assert!(state.misbehaved["late"] > 0);
    sim.stop().await;
    for kind in names::NID_KINDS {
        assert_eq!(
            ours.depth(&names::nid_requests(kind)).await.unwrap().ready,
            0,
            "a request was not settled"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_vendor_reads_on_and_answers_as_scripted_when_it_is_let_go() {
    let vhosts = Vhosts::fresh().await;
    let (ours, vendors) = both(&vhosts).await;
    let sim = NidSim::start(VendorSettings { latency_ms: (50, 0), ..VendorSettings::default() }, &vendors);
    sim.pause_replies();
    sim.will_answer("birth-7", Final::Rejected("not_eligible"));
    for person in 0..80 {
        ours.publisher().publish(&targets::nid_requests("birth"), request("birth", person)).await.unwrap();
    }
    eventually(SOON, "every request is read", async || (sim.state().requests == 80).then_some(())).await;
    assert_eq!(ours.depth(names::NID_REPLIES).await.unwrap().ready, 0);
    sim.resume_replies();
    let said: Vec<_> = replies(&ours, 80).await.into_iter().map(|(_, said)| said).collect();
    let rejected: Vec<_> = said.iter().filter(|said| said["status"] == "rejected").collect();
    assert_eq!(rejected.len(), 1);
    assert_eq!(
        (&rejected[0]["request_id"], &rejected[0]["reason"]["code"]),
        (&json!("birth-7"), &json!("not_eligible"))
    );
    assert_eq!(sim.state().rejected().collect::<Vec<_>>(), ["birth-7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_that_is_killed_sends_its_outstanding_replies_afterwards() {
    let vhosts = Vhosts::fresh().await;
    let (ours, vendors) = both(&vhosts).await;
    let settings = VendorSettings { latency_ms: (700, 1_300), ..VendorSettings::default() };
    let sim = NidSim::start(settings, &vendors);
    for person in 0..30 {
        ours.publisher().publish(&targets::nid_requests("birth"), request("birth", person)).await.unwrap();
    }
    eventually(SOON, "a request is read", async || (sim.state().persons > 0).then_some(())).await;
    sim.kill().await;
    sim.kill().await;
    vendors.close().await;
    let (before, seen) = (sim.state(), sim.unsent());
    assert!(seen > 0 && before.published < 30, "{seen} {before:?}");
    let (_, vendors) = both(&vhosts).await;
    sim.restart(&vendors);
    sim.restart(&vendors);
    let mut said: HashMap<String, Value> = HashMap::new();
    while said.len() < 30 {
        for (_, reply) in replies(&ours, 1).await {
            let request = reply["request_id"].as_str().unwrap().to_owned();
            let first = said.entry(request).or_insert_with(|| reply.clone());
            assert_eq!(*first, reply, "the same submission got another answer");
        }
    }
    eventually(SOON, "every reply is sent", async || (sim.unsent() == 0).then_some(())).await;
    let after = sim.state();
    assert_eq!((after.persons, after.persons_doubled, after.ids_doubled), (30, 0, 0));
    assert!(after.repeats > 0, "no request was in the hands of the vendor that was killed");
}
