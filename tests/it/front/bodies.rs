//! Bodies: the front accepts every registration, however odd, and refuses bodies that could never
//! be answered.

use nidbridge::domain::Role;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::wire::{Post, answer, connect};
use super::{NAME, births, boom, bundle, resources, stored, token, view};
use crate::harness::world::World;

const MIB: usize = 1024 * 1024;
const DEEP: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_registration_is_refused_and_the_caller_told_why() {
    let world = World::with_front(&[]).await;
    let declaration = births(1, 121).remove(0);
    let token = token(&world, &declaration);
    for (what, body, says) in not_registrations(&bundle(&declaration)) {
        let answer = Post::new(&token, body).to(&world.front).await;
        let message = boom(&answer, what, 400, "Bad Request");
        assert!(message.contains(": ") && message.contains(says), "{what}: {message}");
    }
    // A request without a length has no body.
    let mut stream = connect(&world.front).await;
    stream.write_all(&Post::new(&token, "").head()).await.unwrap();
    boom(&answer(&mut stream).await, "no length", 400, "Bad Request");
    let log = world.log_text("front");
    assert!(!log.contains(NAME) && !log.contains(&token));
    assert_eq!(stored(&world).await.len(), 0);
}

fn not_registrations(good: &Value) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let text = good.to_string();
    let without = |kind: &str| {
        let mut bundle = good.clone();
        bundle["entry"].as_array_mut().unwrap().retain(|entry| entry["resource"]["resourceType"] != kind);
        bundle.to_string().into_bytes()
    };
    let renamed = |kind: &str| {
        let mut bundle = good.clone();
        resources(&mut bundle, kind).for_each(|one| one["resourceType"] = json!(format!("{kind}History")));
        bundle.to_string().into_bytes()
    };
    let mut not_utf8 = text.clone().into_bytes();
    let at = text.find(NAME).unwrap();
    not_utf8[at] = 0xff;
    let deep_task = text.replacen(r#""resourceType":"Task""#, &format!(r#""resourceType":{}"#, nested()), 1);
    assert_ne!(deep_task, text);
    vec![
        ("empty", Vec::new(), "the body is empty"),
        ("blank", b" \r\n\t ".to_vec(), "the body is empty"),
        ("not JSON", b"record=1&name=Qorvyxandra".to_vec(), "not JSON"),
        ("half of it", text.as_bytes()[..text.len() / 2].to_vec(), "not JSON"),
        ("twice", format!("{text}{text}").into_bytes(), "not JSON"),
        ("not UTF-8", not_utf8, "not UTF-8"),
        ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect(), "not "),
        ("an array", format!("[{text}]").into_bytes(), "not a FHIR Bundle"),
        ("an empty array", b"[]".to_vec(), "not a FHIR Bundle"),
        ("null", b"null".to_vec(), "not a FHIR Bundle"),
        ("a text", b"\"Qorvyxandra\"".to_vec(), "not a FHIR Bundle"),
        ("an empty object", b"{}".to_vec(), "not a FHIR Bundle"),
        ("another resource", br#"{"resourceType":"Patient","entry":[]}"#.to_vec(), "not a FHIR Bundle"),
        ("no entry", br#"{"resourceType":"Bundle"}"#.to_vec(), "not a FHIR Bundle"),
        ("entry is no list", br#"{"resourceType":"Bundle","entry":{}}"#.to_vec(), "not a FHIR Bundle"),
        ("odd entries", br#"{"resourceType":"Bundle","entry":[null,1,{}]}"#.to_vec(), "no Composition"),
        ("without Task", without("Task"), "no Task"),
        ("without Composition", without("Composition"), "no Composition"),
        ("the Task's history alone", renamed("Task"), "no Task"),
        ("the Composition's history alone", renamed("Composition"), "no Composition"),
        ("nested arrays", nested().into_bytes(), "not a FHIR Bundle"),
        ("nested arrays without end", "[".repeat(DEEP).into_bytes(), "not JSON"),
        ("nested objects without end", r#"{"a":"#.repeat(DEEP).into_bytes(), "not JSON"),
        ("a deep Task", deep_task.into_bytes(), "no Task"),
    ]
}

fn nested() -> String {
    format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_a_registration_is_taken_however_odd() {
    let world = World::with_front(&[]).await;
    let declarations = births(8, 122);
    let good: Vec<Value> = declarations.iter().map(bundle).collect();
    let mut bodies: Vec<String> = good.iter().map(Value::to_string).collect();
    let types: [&[&str]; 4] = [
        &["Content-Type: application/json", "Content-Type: application/json"],
        &["Content-Type: text/plain"],
        &["Content-Type: application/x-www-form-urlencoded; charset=latin1"],
        &[],
    ];
    bodies[4] = family_as_list(good[4].clone()).to_string();
    bodies[5] = with_histories(good[5].clone()).to_string();
    bodies[6] = deep_patient(&good[6]);
    bodies[7] = format!("\r\n {} \n", bodies[7]);
    for (n, (declaration, body)) in declarations.iter().zip(&bodies).enumerate() {
        let mut post = Post::new(&token(&world, declaration), body.as_str());
        post.headers.extend(types.get(n).copied().unwrap_or_default().iter().map(|line| (*line).to_owned()));
        let answer = post.to(&world.front).await;
        assert_eq!((answer.status, answer.body.as_str()), (202, ""), "{n}: {answer:?}");
    }
    let stored = stored(&world).await;
    assert_eq!(stored.len(), bodies.len());
    for (n, (declaration, message)) in declarations.iter().zip(&stored).enumerate() {
        let (message, view) = view(message);
        assert_eq!(message.registration.key.record.as_str(), declaration.record);
        let child = view.person(Role::Child).and_then(|child| child.name.clone());
        let name = child.unwrap();
        assert_eq!(name.firstname.as_deref(), Some(NAME), "{n}");
        assert_eq!(name.surname.is_some_and(|name| name == "Listed Other"), n == 4, "{n}");
    }
}

fn family_as_list(mut bundle: Value) -> Value {
    for patient in resources(&mut bundle, "Patient") {
        for name in patient["name"].as_array_mut().unwrap() {
            name["family"] = json!(["Listed", "Other"]);
        }
    }
    bundle
}

/// Adds each resource again as history entries, twice with the same id, as a record that was read
/// back has them.
fn with_histories(mut bundle: Value) -> Value {
    let entries = bundle["entry"].as_array().unwrap().clone();
    let histories = entries.iter().map(|entry| {
        let mut old = entry.clone();
        let kind = entry["resource"]["resourceType"].as_str().unwrap();
        old["resource"]["resourceType"] = json!(format!("{kind}_history"));
        old["resource"]["name"] = json!([{"use": "en", "given": ["Former"], "family": "Former"}]);
        old
    });
    let histories: Vec<Value> = histories.collect();
    bundle["entry"] = [histories.clone(), histories, entries].concat().into();
    bundle
}

/// Adds a deeply nested value to each Patient, in a member that is not read.
fn deep_patient(bundle: &Value) -> String {
    let text = bundle.to_string();
    text.replace(r#""resourceType":"Patient""#, &format!(r#""resourceType":"Patient","_deep":{}"#, nested()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_any_length_is_answered_and_only_the_view_is_kept() {
    let world = World::with_front(&[]).await;
    let [large, long] = births(2, 123).try_into().unwrap();
    let large_token = token(&world, &large);
    // The front refuses as soon as the length is declared.
    let mut stream = connect(&world.front).await;
    let post = Post::new(&token(&world, &long), "").with(&format!("Content-Length: {}", 60 * MIB));
    stream.write_all(&post.head()).await.unwrap();
    let message = boom(&answer(&mut stream).await, "60 MiB", 413, "Payload Too Large");
    assert!(message.contains("FRONT_MAX_BODY"), "{message}");
    // The front refuses as soon as the limit is passed, before the caller has sent everything.
    let mut stream = connect(&world.front).await;
    let post = Post::new(&token(&world, &long), "").with("Transfer-Encoding: chunked");
    stream.write_all(&post.head()).await.unwrap();
    let chunk = [format!("{MIB:x}\r\n").into_bytes(), vec![b' '; MIB], b"\r\n".to_vec()].concat();
    for _ in 0..51 {
        stream.write_all(&chunk).await.expect("the front reads on");
    }
    boom(&answer(&mut stream).await, "60 MiB in pieces", 413, "Payload Too Large");
    // A caller that reads nothing before it has sent everything gets the answer too.
    let refused = Post::new(&token(&world, &long), vec![b' '; 60 * MIB]).to(&world.front).await;
    boom(&refused, "60 MiB at a stretch", 413, "Payload Too Large");
    assert_eq!(world.metric("front", "nidbridge_received_total", "outcome=\"too_large\""), 3.0);

    let answer = Post::new(&large_token, geography(bundle(&large), 40 * MIB)).to(&world.front).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let stored = stored(&world).await;
    assert_eq!(stored.len(), 1);
    assert!(stored[0].body.len() < 16 * 1024, "{} bytes", stored[0].body.len());
    let (_, view) = view(&stored[0]);
    assert_eq!(view.person(Role::Child).unwrap().name.as_ref().unwrap().firstname.as_deref(), Some(NAME));
    assert!(!serde_json::to_string(&view).unwrap().contains("R0VPSlNPTg"));
}

/// Adds a geography of this size to one of the document's places.
fn geography(mut bundle: Value, bytes: usize) -> String {
    let attachment = "R0VPSlNPTg".repeat(bytes / 10);
    let place = resources(&mut bundle, "Location").next().unwrap();
    place["extension"] = json!([{
        "url": "http://hl7.org/fhir/StructureDefinition/location-boundary-geojson",
        "valueAttachment": {"contentType": "application/geo+json", "data": attachment}
    }]);
    bundle.to_string()
}
