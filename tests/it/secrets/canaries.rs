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

    /// Adds a password or a key.
    pub fn secret(&mut self, text: &str, what: &str) {
        self.keep(text, what);
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

    /// The canaries that some bytes contain: as plain text, in base64 at any alignment, and as
    /// numbers or escapes of its bytes, in decimal or hexadecimal.
    pub fn found_in(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        // Canaries are ASCII, which this does not change.
        let there = String::from_utf8_lossy(bytes);
        let (decimal, hexadecimal) = (from_decimal(&there), from_hexadecimal(&there));
        let mut found = Vec::new();
        for (text, what) in &self.texts {
            for (form, there) in [("clear", &*there), ("decimal", &decimal), ("hexadecimal", &hexadecimal)] {
                if there.contains(text) {
                    found.push(format!("{place}: {what} in {form}, {text}"));
                }
            }
            if (0..3).flat_map(|shift| encoded(text.as_bytes(), shift)).any(|form| there.contains(&form)) {
                found.push(format!("{place}: {what} in base64, {text}"));
            }
        }
        found
    }
}

/// The words of a text. Any punctuation separates them: commas, brackets, `\\`, `%`, `&#`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// The text of all numbers from 0 to 255 in a text, as in `[107, 97]`. Other words end it.
fn from_decimal(text: &str) -> String {
    words(text).map(|word| word.parse().map_or('\0', |byte: u8| char::from(byte))).collect()
}

/// The text of all hexadecimal numbers in a text, as in `6b61`, `\\x6b\\x61`, `\\u006b\\u{61}`,
/// `0x6b, 0x61`, `%6B%61`. Other words end it.
fn from_hexadecimal(text: &str) -> String {
    let mut out = String::new();
    for word in words(text).filter(|word| !["u", "x"].contains(word)) {
        let word = word.strip_prefix("0x").unwrap_or(word);
        let word = word.strip_prefix(['u', 'x']).unwrap_or(word);
        if !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            out.push('\0');
            continue;
        }
        // A longer word may begin in the middle of a byte.
        for digits in if word.len() > 4 { vec![word, &word[1..]] } else { vec![word] } {
            let bytes = digits.as_bytes().chunks_exact(2).filter_map(|pair| std::str::from_utf8(pair).ok());
            let bytes = bytes.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).filter(|byte| *byte > 0);
            out.extend(bytes.map(char::from));
        }
    }
    out
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

fn of_each(text: &str, form: impl Fn(u8) -> String) -> String {
    text.bytes().map(form).collect()
}

#[test]
fn a_canary_is_found_in_every_form_that_a_program_prints_bytes_in() {
    let mut canaries = Canaries::default();
    let name = canaries.name();
    canaries.token("head.claims-of-a-token.signature-of-it");
    for text in [
        format!("x {name} y"),
        STANDARD_NO_PAD.encode(format!("{name} y")),
        STANDARD_NO_PAD.encode(format!("x{name} y")),
        URL_SAFE_NO_PAD.encode(format!("xx{name}y")),
        "Bearer head.claims-of-a-token.other".to_owned(),
        format!("body: {:?}", name.as_bytes()),
        format!("body: {:#?}", name.as_bytes()),
        format!("body: {:02x?}", name.as_bytes()),
        format!("body: {:#04x?}", name.as_bytes()),
        format!("sql: X'{}'", of_each(&name, |byte| format!("{byte:02X}"))),
        format!("sql: f{}", of_each(&name, |byte| format!("{byte:02x}"))),
        of_each(&name, |byte| format!("%{byte:02X}")),
        of_each(&name, |byte| format!("\\x{byte:02x}")),
        of_each(&name, |byte| format!("\\u{byte:04x}")),
        of_each(&name, |byte| format!("\\u{{{byte:x}}}")),
        of_each(&name, |byte| format!("&#{byte};")),
    ] {
        assert_eq!(canaries.found_in("here", text.as_bytes()).len(), 1, "{text}");
    }
    assert!(canaries.found_in("here", &[0, 1, 2]).is_empty());
}
