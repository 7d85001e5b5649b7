use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::domain::NationalId;

/// A country configuration service with a set answer for some paths, and 404 for all others.
#[derive(Default)]
pub(super) struct Country {
    answers: Vec<(&'static str, u16, String)>,
    /// The paths that were asked for.
    asked: Vec<String>,
}

pub(super) type Shared = Arc<StdMutex<Country>>;

/// Starts a country configuration. Returns it with the settings of a client that asks it.
pub(super) async fn service() -> (Shared, ClientSettings) {
    let country = Shared::default();
    let app = Router::new().fallback(answer).with_state(Arc::clone(&country));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let timeout = Duration::from_secs(5);
    (country, ClientSettings { url, timeout, connect_timeout: timeout, proxy: None })
}

/// Starts a country configuration. Returns it with the mapped fields that ask it.
async fn country(mapping: &str, recheck: Duration) -> (Shared, MappedFields) {
    let (country, settings) = service().await;
    (country, MappedFields::new(&settings, FieldMapping::parse(mapping).unwrap(), recheck).unwrap())
}

async fn answer(Extract(country): Extract<Shared>, uri: Uri) -> (StatusCode, String) {
    let mut country = country.lock().unwrap();
    country.asked.push(uri.path().to_owned());
    let answer = country.answers.iter().find(|(path, _, _)| *path == uri.path());
    let (status, body) = answer.map_or((404, "{}".to_owned()), |(_, status, body)| (*status, body.clone()));
    (StatusCode::from_u16(status).unwrap(), body)
}

pub(super) fn answers(country: &Shared, path: &'static str, status: u16, body: &Value) {
    let mut country = country.lock().unwrap();
    country.answers.retain(|(known, _, _)| *known != path);
    country.answers.push((path, status, body.to_string()));
}

fn asked(country: &Shared) -> Vec<String> {
    std::mem::take(&mut country.lock().unwrap().asked)
}

fn forms(forms: &[(&str, &[&str])]) -> Value {
    let form = |(kind, fields): &(&str, &[&str])| {
        let fields: Vec<Value> = fields.iter().map(|id| json!({ "id": id, "type": "TEXT" })).collect();
        json!({ "id": kind, "declaration": { "pages": [{ "id": "p", "fields": [] }, { "fields": fields }] } })
    };
    forms.iter().map(form).collect()
}

fn issued() -> Answer {
    Answer::Issued(NationalId::parse("1").unwrap())
}

fn undefined(which: &[&str]) -> FieldStanding {
    FieldStanding::Undefined { which: which.iter().map(|field| (*field).to_owned()).collect() }
}

const MAPPING: &str = "birth: child.nid = id, child.idType = 1; death: deceased.nid = null when recorded";

#[tokio::test]
async fn both_paths_are_tried_and_the_last_one_that_worked_goes_first() {
    let (country, fields) = country("birth: child.nid = id", Duration::ZERO).await;
    let defined = forms(&[("birth", &["child.nid"])]);
    let standing = async || fields.standing(&EventKind::Birth, &issued()).await;

    answers(&country, "/events", 200, &defined);
    assert_eq!(standing().await, FieldStanding::Defined);
    assert_eq!(asked(&country), ["/config/events", "/events"], "1.9");
    assert_eq!(standing().await, FieldStanding::Defined);
    assert_eq!(asked(&country), ["/events"]);

    answers(&country, "/events", 404, &Value::Null);
    answers(&country, "/config/events", 200, &defined);
    assert_eq!(standing().await, FieldStanding::Defined);
    assert_eq!(asked(&country), ["/events", "/config/events"], "the country moved on to 2.x");
    assert_eq!(standing().await, FieldStanding::Defined);
    assert_eq!(asked(&country), ["/config/events"]);

    answers(&country, "/config/events", 503, &Value::Null);
    assert_eq!(standing().await, FieldStanding::Unknown);
    assert_eq!(fields.missing().await, Err(FormsFault::Status { path: "config/events", status: 503 }));
}

#[tokio::test]
async fn a_response_without_a_list_of_events_is_a_fault() {
    let (country, fields) = country("birth: child.nid = id", Duration::ZERO).await;
    assert_eq!(fields.missing().await, Err(FormsFault::NotFound));
    answers(&country, "/config/events", 200, &json!("<html>"));
    assert_eq!(fields.missing().await, Err(FormsFault::Unreadable { path: "config/events" }));
    assert_eq!(fields.standing(&EventKind::Birth, &issued()).await, FieldStanding::Unknown);
    answers(&country, "/events", 200, &forms(&[("birth", &["child.nid"])]));
    assert_eq!(fields.missing().await, Ok(Vec::new()), "the other path has the list");
    drop(fields);

    let nobody = ClientSettings {
        url: "http://127.0.0.1:9".parse().unwrap(),
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        proxy: None,
    };
    let fields =
        MappedFields::new(&nobody, FieldMapping::identifier("a".to_owned()), Duration::ZERO).unwrap();
    assert_eq!(fields.missing().await, Err(FormsFault::Unavailable));
}

#[tokio::test]
async fn a_field_that_one_kind_lacks_stops_this_kind_only() {
    let (country, fields) = country(MAPPING, Duration::ZERO).await;
    answers(
        &country,
        "/config/events",
        200,
        &forms(&[("birth", &["child.nid", "child.idType"]), ("death", &[])]),
    );
    let [birth, death] = [EventKind::Birth, EventKind::Death];
    let number = RegistrationNumber::parse("2026B1").unwrap();
    let written = |kind: &EventKind| json!(fields.evaluate(kind, &issued(), &number));
    assert_eq!(written(&birth), json!({ "child.nid": "1", "child.idType": 1 }));
    assert_eq!(written(&death), json!({}));
    assert_eq!(fields.standing(&birth, &issued()).await, FieldStanding::Defined);
    assert_eq!(fields.standing(&death, &Answer::Recorded).await, undefined(&["deceased.nid"]));
    assert_eq!(fields.standing(&death, &issued()).await, FieldStanding::NotWanted);
    assert_eq!(fields.standing(&EventKind::Marriage, &issued()).await, FieldStanding::NotWanted);
    let missing = fields.missing().await.unwrap();
    assert_eq!(
        missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["`deceased.nid` in the form of `death`"]
    );
    answers(&country, "/config/events", 200, &forms(&[("BIRTH", &["child.nid"])]));
    assert_eq!(fields.standing(&birth, &issued()).await, undefined(&["child.idType"]));
    assert_eq!(fields.standing(&death, &Answer::Recorded).await, undefined(&["deceased.nid"]));
}

#[tokio::test]
async fn a_fresh_response_is_not_asked_for_again_unless_a_field_is_missing() {
    let (country, fields) = country(MAPPING, Duration::from_secs(3_600)).await;
    answers(&country, "/config/events", 200, &forms(&[("birth", &["child.nid", "child.idType"])]));
    for _ in 0..3 {
        assert_eq!(fields.standing(&EventKind::Birth, &issued()).await, FieldStanding::Defined);
    }
    assert_eq!(asked(&country).len(), 1);
    let death = async || fields.standing(&EventKind::Death, &Answer::Recorded).await;
    assert_eq!(death().await, undefined(&["deceased.nid"]));
    assert_eq!(asked(&country).len(), 0, "not within the pause");
    fields.last().as_mut().unwrap().at -= PAUSE;
    assert_eq!(fields.standing(&EventKind::Birth, &issued()).await, FieldStanding::Defined);
    assert_eq!(asked(&country).len(), 0);
    assert_eq!(death().await, undefined(&["deceased.nid"]));
    assert_eq!(asked(&country).len(), 1);
}

#[tokio::test]
async fn a_response_decides_until_it_is_as_old_as_its_limit() {
    let hour = Duration::from_secs(3_600);
    let tick = Duration::from_nanos(1);
    for (standing, recheck, limit) in [
        (FieldStanding::Defined, hour, hour),
        (FieldStanding::Defined, PAUSE / 2, PAUSE / 2),
        (FieldStanding::Unknown, hour, PAUSE),
        (undefined(&["child.nid"]), hour, PAUSE),
        (undefined(&["child.nid"]), PAUSE / 2, PAUSE / 2),
    ] {
        let (_, fields) = country(MAPPING, recheck).await;
        assert!(fields.is_recent(&standing, limit - tick), "{standing:?}");
        assert!(!fields.is_recent(&standing, limit), "{standing:?}");
    }
}

#[tokio::test]
async fn while_one_answer_waits_for_the_forms_no_other_one_does() {
    let (country, fields) = country(MAPPING, Duration::from_secs(3_600)).await;
    answers(&country, "/config/events", 200, &forms(&[("birth", &["child.nid", "child.idType"])]));
    let birth = async || fields.standing(&EventKind::Birth, &issued()).await;
    let death = async || fields.standing(&EventKind::Death, &Answer::Recorded).await;
    let asking = fields.client.lock().await;
    assert_eq!(birth().await, FieldStanding::Unknown, "nothing is known yet");
    drop(asking);
    assert_eq!(birth().await, FieldStanding::Defined);
    let asking = fields.client.lock().await;
    fields.last().as_mut().unwrap().at -= PAUSE;
    assert_eq!(death().await, undefined(&["deceased.nid"]));
    assert_eq!(birth().await, FieldStanding::Defined);
    fields.last().as_mut().unwrap().at -= Duration::from_secs(3_600);
    assert_eq!(birth().await, FieldStanding::Unknown, "too old to write by");
    drop(asking);
    assert_eq!(birth().await, FieldStanding::Defined);
}
