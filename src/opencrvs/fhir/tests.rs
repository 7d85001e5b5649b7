//! Bundles as OpenCRVS sends them, and malformed bundles, which must not crash the front.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::Role;

fn read(body: &[u8]) -> Result<Document, InvalidBundle> {
    super::read(body, &Reading::default())
}

pub(super) fn bundle() -> Value {
    json!({
        "resourceType": "Bundle", "type": "document", "entry": [
            { "fullUrl": "/fhir/Composition/c-1", "resource": {
                "resourceType": "Composition", "id": "c-1", "identifier": { "value": "BXXDBIC" },
                "type": { "coding": [{ "code": "birth-declaration" }] },
                "section": [
                    { "code": { "coding": [{ "code": "child-details" }] }, "entry": [{ "reference": "Patient/p-1" }] },
                    { "code": { "coding": [{ "code": "mother-details" }] }, "entry": [{ "reference": "urn:uuid:p-2" }] },
                    { "code": { "coding": [{ "code": "informant-details" }] }, "entry": [{ "reference": "RelatedPerson/r-1" }] }
                ] } },
            { "resource": { "resourceType": "TaskHistory", "id": "t-1", "lastModified": "2020-01-01T00:00:00.000Z" } },
            { "resource": { "resourceType": "TaskHistory", "id": "t-1", "lastModified": "2020-01-01T00:00:00.000Z" } },
            { "resource": {
                "resourceType": "Task", "id": "t-1", "lastModified": "2026-10-23T10:00:00.107Z", "_request": { "method": "POST" },
                "code": { "coding": [{ "code": "BIRTH" }] },
                "identifier": [{ "system": "http://opencrvs.org/specs/id/birth-tracking-id", "value": "BXXDBIC" }],
                "extension": [{ "url": "http://opencrvs.org/specs/extension/regLastOffice",
                    "valueReference": { "reference": "Location/o-1" } }] } },
            { "resource": { "resourceType": "Patient", "id": "p-1", "gender": "female", "birthDate": "2026-10-01", "name": [
                { "use": "en", "given": ["Ada", ""], "family": ["Doe"] }, { "use": "fr", "given": ["Adèle"], "family": "Doe" }] } },
            { "resource": { "resourceType": "Patient", "id": "p-2", "identifier": [
                { "type": { "coding": [{ "code": "NATIONAL_ID" }] }, "value": "1234567890" }] } },
            { "resource": { "resourceType": "RelatedPerson", "id": "r-1", "relationship": { "coding": [{ "code": "MOTHER" }] },
                "patient": { "reference": "Patient/p-2" } } },
            { "resource": { "resourceType": "Location", "id": "o-1", "partOf": { "reference": "Location/d-1" },
                "identifier": [{ "system": "http://opencrvs.org/specs/id/internal-id", "value": "CRVS_OFFICE_1" }] } },
            { "resource": { "resourceType": "Location", "id": "d-1", "partOf": { "reference": "Location/s-1" },
                "extension": [{ "url": "x/location-boundary-geojson", "valueAttachment": { "data": "GEOGRAPHY" } }],
                "identifier": [{ "system": "http://opencrvs.org/specs/id/statistical-code", "value": "DISTRICT" }] } },
            { "resource": { "resourceType": "Location", "id": "s-1", "partOf": { "reference": "Location/d-1" },
                "identifier": [{ "system": "http://opencrvs.org/specs/id/statistical-code", "value": "STATE" }] } },
            "not an entry", { "resource": 7 }, { "resource": { "resourceType": ["odd"] } }
        ]
    })
}

fn read_value(value: &Value) -> Result<Document, InvalidBundle> {
    read(value.to_string().as_bytes())
}

#[test]
fn an_instant_in_place_of_a_date_is_the_day_in_the_country() {
    let mut bundle = bundle();
    let patient = |entry: &&mut Value| entry.pointer("/resource/id") == Some(&json!("p-1"));
    let child = bundle["entry"].as_array_mut().unwrap().iter_mut().find(patient).unwrap();
    child["resource"]["birthDate"] = json!("2026-09-30T22:30:00.000Z");
    child["resource"]["deceasedDateTime"] = json!("2026-10-01T22:30:00Z");
    let lusaka = Reading::default().in_zone(jiff::tz::TimeZone::get("Africa/Lusaka").unwrap());
    let view = super::read(bundle.to_string().as_bytes(), &lusaka).unwrap().view;
    let child = view.person(Role::Child).unwrap();
    assert_eq!(child.dob.as_deref(), Some("2026-10-01"));
    assert_eq!(child.date_of_death.as_deref(), Some("2026-10-02"));
    assert_eq!(view.event_details.date.as_deref(), Some("2026-10-01"));
}

#[test]
fn a_register_path_bundle_becomes_a_document_and_a_view() {
    let document = read_value(&bundle()).unwrap();
    assert_eq!(document.record.as_str(), "c-1");
    assert_eq!(document.mark, "2026-10-23T10:00:00.107Z");
    assert_eq!(document.kind, EventKind::Birth);
    assert_eq!(document.office.as_deref(), Some("CRVS_OFFICE_1"));
    let child = document.view.person(Role::Child).unwrap();
    assert_eq!(child.name.as_ref().unwrap().surname.as_deref(), Some("Doe"));
    assert_eq!(child.name.as_ref().unwrap().middlename, None);
    assert_eq!(child.names.get("fr").unwrap().firstname.as_deref(), Some("Adèle"));
    assert_eq!(document.view.person(Role::Mother).unwrap().nid.as_deref(), Some("1234567890"));
    assert_eq!(document.view.person(Role::Informant).unwrap().relation.as_deref(), Some("MOTHER"));
    assert_eq!(document.view.event_details.date.as_deref(), Some("2026-10-01"));
}

#[test]
fn the_codes_above_an_office_are_widest_first_and_a_cycle_of_locations_ends() {
    let document = read_value(&bundle()).unwrap();
    let codes = &document.view.office.codes;
    assert_eq!(codes.last().map(String::as_str), Some("DISTRICT"));
    assert!(codes.len() <= 12, "{}", codes.len());
    assert!(!serde_json::to_string(&document.view).unwrap().contains("GEOGRAPHY"));
}

#[test]
fn a_bundle_without_a_required_part_is_refused_and_the_part_is_named() {
    let without = |kind: &str| {
        let mut bundle = bundle();
        let entries = bundle["entry"].as_array_mut().unwrap();
        entries.retain(|entry| entry["resource"]["resourceType"] != kind);
        read_value(&bundle).unwrap_err()
    };
    assert_eq!(without("Composition"), InvalidBundle::NoComposition);
    assert_eq!(without("Task"), InvalidBundle::NoTask);
    for (body, refusal) in [
        (&b""[..], InvalidBundle::Empty),
        (b" \n", InvalidBundle::Empty),
        (b"\xff\xfe", InvalidBundle::NotUtf8),
        (b"{", InvalidBundle::NotJson),
        (b"hello", InvalidBundle::NotJson),
        (b"[]", InvalidBundle::NotABundle),
        (br#"["Bundle",[]]"#, InvalidBundle::NotABundle),
        (b"{}", InvalidBundle::NotABundle),
        (b"7", InvalidBundle::NotABundle),
        (br#"{"resourceType":"Bundle"}"#, InvalidBundle::NotABundle),
        (br#"{"resourceType":"Bundle","entry":7}"#, InvalidBundle::NotABundle),
        (br#"{"resourceType":"Patient","entry":[]}"#, InvalidBundle::NotABundle),
        (br#"{"resourceType":"Bundle","entry":[]}"#, InvalidBundle::NoComposition),
    ] {
        assert_eq!(read(body).unwrap_err(), refusal, "{}", String::from_utf8_lossy(body));
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(read(deep.as_bytes()), Err(InvalidBundle::NotJson | InvalidBundle::NotABundle)));
    let inside = bundle().to_string().replacen("\"not an entry\"", &deep, 1);
    assert!(read(inside.as_bytes()).is_ok_and(|document| document.record.as_str() == "c-1"));
}

#[test]
fn a_field_that_is_nested_too_deeply_is_skipped_and_the_rest_is_read() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let with = |field: &str| {
        let patient = format!(r#""resourceType":"Patient","was":0,"{field}":{deep}"#);
        read(bundle().to_string().replace(r#""resourceType":"Patient""#, &patient).as_bytes()).unwrap()
    };
    for field in ["_transforms", "photo", "address", "active"] {
        let child = with(field).view.person(Role::Child).unwrap().clone();
        assert_eq!(child.name.unwrap().firstname.as_deref(), Some("Ada"), "{field}");
    }
}

const KEYS: [&str; 24] = [
    "active",
    "address",
    "answer",
    "birthDate",
    "code",
    "coding",
    "date",
    "entry",
    "extension",
    "family",
    "fullUrl",
    "gender",
    "given",
    "id",
    "identifier",
    "item",
    "lastModified",
    "name",
    "partOf",
    "reference",
    "resource",
    "section",
    "use",
    "value",
];
const ODD: [&str; 9] = ["null", "7", "-1e400", "\"x\"", "\"\\ud800\"", "\"\\u0000\"", "[]", "{}", "[[{}]]"];

const PERSONAL: [&str; 13] = [
    "active",
    "address",
    "answer",
    "birthDate",
    "date",
    "family",
    "gender",
    "given",
    "item",
    "name",
    "partOf",
    "section",
    "use",
];

#[test]
fn every_field_may_be_of_another_type() {
    let text = bundle().to_string();
    for key in KEYS {
        for odd in ODD {
            let changed = text.replace(&format!("\"{key}\":"), &format!("\"{key}\":{odd},\"was_{key}\":"));
            // Malformed personal data never causes a refusal; a malformed field that identifies the
            // attempt may.
            match read(changed.as_bytes()) {
                Err(refusal) if PERSONAL.contains(&key) => panic!("{key} as {odd}: {refusal}"),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_take_the_parser_down(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn no_cut_or_change_of_a_bundle_takes_the_parser_down(at in 0_usize..4096, byte in any::<u8>(), cut in any::<bool>()) {
        let mut text = bundle().to_string().into_bytes();
        let at = at % text.len();
        if cut { text.truncate(at); } else { text[at] = byte; }
        if cut { prop_assert!(read(&text).is_err()); } else { drop(read(&text)); }
    }

    #[test]
    fn no_pair_of_odd_fields_takes_the_parser_down(one in 0..KEYS.len(), two in 0..KEYS.len(), odd in 0..ODD.len()) {
        let with = |text: &str, key: &str| text.replace(&format!("\"{key}\":"), &format!("\"{key}\":{},\"_{key}\":", ODD[odd]));
        drop(read(with(&with(&bundle().to_string(), KEYS[one]), KEYS[two]).as_bytes()));
    }
}

/// Reads a bundle after a change to its first resource of this type.
pub(super) fn with(kind: &str, change: impl FnOnce(&mut Value)) -> Result<Document, InvalidBundle> {
    let mut bundle = bundle();
    let entries = bundle["entry"].as_array_mut().unwrap();
    let entry = entries.iter_mut().find(|entry| entry["resource"]["resourceType"] == kind).unwrap();
    change(&mut entry["resource"]);
    read_value(&bundle)
}

#[test]
fn the_kind_of_event_is_the_compositions_where_the_task_names_none() {
    for code in
        [json!(null), json!({}), json!({ "coding": [] }), json!({ "coding": [{ "code": "a\u{0}b" }] })]
    {
        let document = with("Task", |task| task["code"] = code.clone()).unwrap();
        assert_eq!(document.kind, EventKind::Birth, "{code}");
    }
    let absent = with("Task", |task| drop(task.as_object_mut().unwrap().remove("code")));
    assert_eq!(absent.unwrap().kind, EventKind::Birth);
    let marriage = with("Task", |task| task["code"] = json!({ "coding": [{ "code": "MARRIAGE" }] }));
    assert_eq!(marriage.unwrap().kind, EventKind::Marriage);
}

#[test]
fn a_kind_of_event_is_a_short_text() {
    let longest = "k".repeat(LONGEST_MARK);
    for (code, kind) in
        [(longest.clone(), EventKind::from_name(&longest)), (format!("{longest}k"), EventKind::Birth)]
    {
        let document = with("Task", |task| task["code"] = json!({ "coding": [{ "code": code }] }));
        assert_eq!(document.unwrap().kind, kind, "{} bytes", code.len());
    }
    let nameless =
        bundle().to_string().replace("\"BIRTH\"", "\"\"").replace("birth-declaration", "-declaration");
    assert_eq!(read(nameless.as_bytes()).unwrap_err(), InvalidBundle::NoEvent);
}

#[test]
fn the_tracking_id_is_the_compositions_where_the_task_has_none() {
    for identifier in
        [json!(null), json!([]), json!([{ "system": "x/birth-tracking-id", "value": "a\u{0}b" }])]
    {
        let document = with("Task", |task| task["identifier"] = identifier.clone()).unwrap();
        assert_eq!(document.tracking_id.as_str(), "BXXDBIC", "{identifier}");
    }
}

#[test]
fn an_attempt_without_a_time_of_its_own_has_that_of_its_last_update() {
    let document = with("Task", |task| {
        task["lastModified"] = json!("yesterday");
        task["meta"] = json!({ "lastUpdated": "2026-10-23T10:00:01.000Z" });
    });
    assert_eq!(document.unwrap().mark, "2026-10-23T10:00:01.000Z");
    for unreadable in [
        json!(1_700_000_000),
        json!("2026-10-23"),
        json!("2026-10-23T10:00:00.107"),
        json!("2026-10-23 10:00"),
        json!("23/10/2026"),
        json!(""),
    ] {
        let refused = with("Task", |task| task["lastModified"] = unreadable.clone()).unwrap_err();
        assert_eq!(refused, InvalidBundle::UnreadableLastModified, "{unreadable}");
        assert!(refused.to_string().contains("a zone"), "{refused}");
    }
    let never = with("Task", |task| task["lastModified"] = json!(null));
    assert_eq!(never.unwrap_err(), InvalidBundle::NoLastModified);
}

#[test]
fn a_reference_may_be_written_in_every_way_that_core_writes_it() {
    for reference in [
        "Patient/p-1",
        "urn:uuid:p-1",
        "/fhir/Patient/p-1/_history/7",
        "http://localhost:3447/fhir/Patient/p-1",
    ] {
        let document = with("Composition", |composition| {
            composition["section"][0]["entry"][0]["reference"] = json!(reference);
        });
        assert!(document.unwrap().view.person(Role::Child).is_some(), "{reference}");
    }
}

#[test]
fn a_text_that_would_harm_a_column_or_swell_the_view_is_not_kept() {
    let long = "x".repeat(300);
    let document = with("Patient", |patient| {
        patient["name"][0]["use"] = json!(long);
        patient["name"][0]["given"] = json!([long, "Grace"]);
        patient["identifier"] = json!([{ "type": { "coding": [{ "code": long }] }, "value": "7" }]);
        patient["photo"] = json!([{ "data": long }]);
    });
    let view = serde_json::to_string(&document.unwrap().view).unwrap();
    assert!(!view.contains(&long) && view.contains("Grace"), "{view}");
    let office = with("Location", |office| office["identifier"][0]["value"] = json!("CRVS_\u{0}OFFICE"));
    assert_eq!(office.unwrap().office, None);
}

#[test]
fn the_real_bundles_become_views_of_a_few_kilobytes() {
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let folder = fixtures().unwrap_or(beside).join("fhir");
    let Ok(files) = std::fs::read_dir(&folder) else {
        return skipped();
    };
    let mut read_in = 0;
    for path in files.map(|file| file.unwrap().path()) {
        if path.extension().is_some_and(|ending| ending == "json") {
            check_view(&path);
            read_in += 1;
        }
    }
    assert!(read_in > 0, "{}: no bundle in it", folder.display());
}

fn check_view(path: &std::path::Path) {
    let document = read(&std::fs::read(path).unwrap()).unwrap();
    let view = serde_json::to_string(&document.view).unwrap();
    assert!((400..4096).contains(&view.len()), "{}: {} bytes", path.display(), view.len());
    for never in ["geojson", "<base64>", "+2609", "kalusha", "@", "population", "Mweene"] {
        assert!(!view.contains(never), "{}: {never}", path.display());
    }
    let subject = if document.kind == EventKind::Birth { Role::Child } else { Role::Deceased };
    assert!(document.view.person(subject).unwrap().name.is_some(), "{}", path.display());
    assert_eq!(document.office.as_deref(), Some("CRVS_OFFICE_JWMRGwDBXK"), "{}", path.display());
    let admin = ["ADMIN_STRUCTURE_AWn3s2RqgAN", "ADMIN_STRUCTURE_oEBf29y8JP8"];
    assert_eq!(document.view.office.codes, admin, "{}", path.display());
    let place = document.view.event_details.place.unwrap();
    assert_eq!(place.code.as_deref(), Some("HEALTH_FACILITY_pXhz0PLiYZX"), "{}", path.display());
    let informant = document.view.persons.get(&Role::Informant).unwrap();
    let nid = informant.nid.as_deref().unwrap_or_default();
    assert!(informant.relation.is_some() && nid.len() == 10, "{}", path.display());
    assert_eq!(informant.address.as_ref().unwrap().codes, admin, "{}", path.display());
}

#[expect(clippy::disallowed_methods, reason = "where the fixtures are is no setting of the bridge")]
fn fixtures() -> Option<std::path::PathBuf> {
    std::env::var("NIDBRIDGE_FIXTURES").ok().map(Into::into)
}

#[expect(clippy::print_stderr, reason = "a skipped test must be visible")]
fn skipped() {
    eprintln!("SKIPPED: no real bundles: set NIDBRIDGE_FIXTURES to the folder that has fhir/*.json");
}
