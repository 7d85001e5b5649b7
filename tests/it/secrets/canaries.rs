//! Canaries: unique personal data for the test, and the search for it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use nidbridge::sandbox::nid::Final;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::world::World;

/// Texts that must not be found, each with a description.
#[derive(Default)]
pub struct Canaries {
    texts: BTreeMap<String, String>,
    ids: u32,
}

impl Canaries {
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    fn keep(&mut self, text: &str, what: &str) {
        self.texts.insert(text.to_owned(), what.to_owned());
    }

    /// A unique name.
    pub fn name(&mut self) -> String {
        let name = format!("Kanari{}", Uuid::new_v4().simple());
        self.keep(&name, "a name");
        name
    }

    /// A unique ID of ten digits.
    pub fn fresh_id(&mut self) -> String {
        self.ids += 1;
        let id = format!("{}", 4_900_000_000_u64 + u64::from(self.ids));
        self.keep(&id, "an ID");
        id
    }

    /// Adds the parts of a token: claims and signature.
    pub fn token(&mut self, token: &str) {
        for (part, what) in token.split('.').skip(1).zip(["a token's claims", "a token's signature"]) {
            self.keep(part, what);
        }
    }

    /// Adds the issued IDs.
    pub fn issued(&mut self, world: &World) {
        for (_, record) in world.opencrvs.state().all() {
            if let Some(id) = record.identifiers.get("NATIONAL_ID") {
                self.keep(id, "an issued ID");
            }
        }
        for last in world.nid.state().finals.values() {
            if let Final::Issued(id) = last {
                self.keep(id, "an issued ID");
            }
        }
    }

    /// Gives every person in a document a unique name, and adds names and IDs to the canaries.
    pub fn mark(&mut self, mut bundle: Value) -> Value {
        for entry in bundle["entry"].as_array_mut().expect("entries") {
            let resource = &mut entry["resource"];
            if resource["resourceType"] != "Patient" {
                continue;
            }
            for name in resource["name"].as_array_mut().into_iter().flatten() {
                name["given"] = json!([self.name(), self.name()]);
                let family = self.name();
                name["family"] = if name["family"].is_array() { json!([family]) } else { json!(family) };
            }
            for identifier in resource["identifier"].as_array().into_iter().flatten() {
                self.keep(identifier["value"].as_str().expect("a value"), "the ID of a relative");
            }
            for address in resource["address"].as_array_mut().into_iter().flatten() {
                address["line"] = json!([self.name()]);
            }
        }
        bundle
    }

    /// The canaries that some bytes contain, as plain text or in base64 at any alignment.
    pub fn found_in(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        // Canaries are ASCII, which this does not change.
        let there = String::from_utf8_lossy(bytes);
        let mut found = Vec::new();
        for (text, what) in &self.texts {
            if there.contains(text) {
                found.push(format!("{place}: {what}, {text}"));
            }
            if (0..3).flat_map(|shift| encoded(text.as_bytes(), shift)).any(|form| there.contains(&form)) {
                found.push(format!("{place}: {what} in base64, {text}"));
            }
        }
        found
    }
}

/// The part of the base64 text that does not depend on the bytes around it. The text starts `shift`
/// bytes after a group boundary.
fn encoded(text: &[u8], shift: usize) -> [String; 2] {
    let whole = (text.len() + shift) / 3 * 3;
    let padded = [&vec![0; shift][..], text].concat();
    let first = if shift == 0 { 0 } else { 4 };
    [STANDARD_NO_PAD.encode(&padded[..whole]), URL_SAFE_NO_PAD.encode(&padded[..whole])]
        .map(|form| form[first..].to_owned())
}

#[test]
fn a_canary_is_found_in_clear_and_in_base64_at_any_alignment() {
    let mut canaries = Canaries::default();
    let name = canaries.name();
    canaries.token("head.claims-of-a-token.signature-of-it");
    for text in [
        format!("x {name} y"),
        STANDARD_NO_PAD.encode(format!("{name} y")),
        STANDARD_NO_PAD.encode(format!("x{name} y")),
        URL_SAFE_NO_PAD.encode(format!("xx{name}y")),
        "Bearer head.claims-of-a-token.other".to_owned(),
    ] {
        assert_eq!(canaries.found_in("here", text.as_bytes()).len(), 1, "{text}");
    }
    assert!(canaries.found_in("here", &[0, 1, 2]).is_empty());
}
