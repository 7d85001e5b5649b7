//! The fields that an answer writes: several of them, by kind and answer, checked against the forms
//! of a country on 1.9 or on 2.x.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{CallResult, Status, SubmitOptions};
use nidbridge::sandbox::population::Kind;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{prepared, submit, whole};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{World, request_of};
use crate::operator::ended;
use crate::pipeline::{ends_as, people, stands_as};

const MAPPING: &str = r#"birth: child.nid = id, child.idType = "NATIONAL_ID", child.brn = number;
    death: deceased.nid = null, deceased.nidStatus = "closed" when recorded"#;

const BIRTH: &[&str] = &["child.nid", "child.idType", "child.brn"];
const DEATH: &[&str] = &["deceased.nid", "deceased.nidStatus"];

/// A country configuration that tells its forms at one path only. It answers any other path, as
/// hapi does, with 404.
#[derive(Clone)]
pub struct Country {
    path: &'static str,
    /// `None` is an outage: HTTP 503.
    forms: Arc<Mutex<Option<Value>>>,
    pub url: String,
}

impl Country {
    pub async fn telling_forms_at(path: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let country = Self { path, forms: Arc::default(), url };
        let app = Router::new().fallback(Self::answer).with_state(country.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        country
    }

    async fn answer(State(country): State<Self>, uri: Uri) -> (StatusCode, String) {
        if uri.path() != country.path {
            return (StatusCode::NOT_FOUND, json!({ "statusCode": 404, "error": "Not Found" }).to_string());
        }
        match &*country.forms.lock().unwrap() {
            Some(forms) => (StatusCode::OK, forms.to_string()),
            None => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
        }
    }

    /// Defines these fields besides those that are read from registrations.
    pub fn defines(&self, birth: &[&str], death: &[&str]) {
        let read_of_birth = ["child.name", "child.dob", "child.gender"];
        let read_of_death = ["deceased.nid", "eventDetails.date"];
        self.has_forms(
            &[&read_of_birth, birth].concat(),
            &[&read_of_death, death].concat(),
            "eventDetails.date",
        );
    }

    pub fn has_forms(&self, birth: &[&str], death: &[&str], date_of_death: &str) {
        let form = |kind: &str, fields: &[&str], date: &str| {
            let fields: Vec<Value> = fields.iter().map(|id| json!({ "id": id, "type": "TEXT" })).collect();
            json!({ "id": kind, "dateOfEvent": { "$$field": date },
                "declaration": { "pages": [{ "id": "page", "fields": fields }] } })
        };
        let forms = [form("birth", birth, "child.dob"), form("death", death, date_of_death)];
        *self.forms.lock().unwrap() = Some(json!(forms));
    }

    /// Names the field with the date of a birth.
    pub fn dates_births_by(&self, field: &str) {
        let mut forms = self.forms.lock().unwrap();
        forms.as_mut().unwrap()[0]["dateOfEvent"]["$$field"] = field.into();
    }

    pub fn fails(&self) {
        *self.forms.lock().unwrap() = None;
    }
}

/// Prepares a world with the mapping, in a country that tells its forms at this path.
async fn mapped(path: &'static str, settings: &[(&str, &str)]) -> (World, Country) {
    let country = Country::telling_forms_at(path).await;
    country.defines(BIRTH, DEATH);
    let mut world = prepared(Engine::Sqlite, settings).await;
    world.opencrvs.define_fields(&[BIRTH, DEATH].concat());
    world.set("CONFIRM_IDENTIFIER_FIELD", "");
    world.set("CONFIRM_FIELDS", MAPPING);
    world.set("COUNTRY_CONFIG_URL", &country.url);
    (world, country)
}

async fn started(world: &mut World) {
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
    }
    for role in ["front", "worker", "confirmer"] {
        world.ready(role).await;
    }
}

/// The declaration that core stored with the acceptance of the record's registration.
fn written(world: &World, record: &str) -> Value {
    let actions = world.opencrvs.record(record).unwrap().event.unwrap().actions;
    let is_answer = |action: &&Value| action["type"] == "REGISTER" && action["originalActionId"].is_string();
    let answers: Vec<&Value> = actions.iter().filter(is_answer).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers[0]["declaration"].clone()
}

async fn each_answer_writes_its_fields(path: &'static str) {
    let (mut world, _country) = mapped(path, &[]).await;
    started(&mut world).await;
    let [birth, death] = [Kind::Birth, Kind::Death].map(|kind| people(kind, 1, kind as u64 + 301).remove(0));
    world.nid.will_answer(&request_of(&birth.record, "birth"), Final::Issued("0012345678".to_owned()));
    for family in [&birth, &death] {
        submit(&world, family, SubmitOptions::default()).await;
        ends_as(&world, &family.record, Status::Registered).await;
        stands_as(&world, &family.record, "confirmed").await;
    }
    let number = world.number_of(&birth).await;
    assert_eq!(
        written(&world, &birth.record),
        json!({ "child.nid": "0012345678", "child.idType": "NATIONAL_ID", "child.brn": number })
    );
    assert_eq!(
        written(&world, &death.record),
        json!({ "deceased.nid": null, "deceased.nidStatus": "closed" })
    );
    whole(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_writes_its_fields_on_1_9() {
    each_answer_writes_its_fields("/events").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_writes_its_fields_on_2_x() {
    each_answer_writes_its_fields("/config/events").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_inside_the_request_has_the_same_fields() {
    let (mut world, _country) = mapped("/config/events", &[("FRONT_WAIT", "8s")]).await;
    started(&mut world).await;
    crate::waiting::listens(&world).await;
    let death = people(Kind::Death, 1, 311).remove(0);
    let submitted =
        world.opencrvs.submit_event(&death, &world.front, SubmitOptions::default()).await.unwrap();
    assert_eq!(submitted.result, CallResult::Status(200));
    assert_eq!(
        written(&world, &death.record),
        json!({ "deceased.nid": null, "deceased.nidStatus": "closed" })
    );
    stands_as(&world, &death.record, "confirmed").await;
    whole(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_one_kind_lacks_stops_the_records_of_this_kind_only() {
    let (mut world, country) = mapped("/config/events", &[]).await;
    country.defines(BIRTH, &["deceased.nid"]);
    let refused = ended(&world, &["confirmer"], &[]).await;
    assert_ne!(refused.code, Some(0));
    let told = "CONFIRM_FIELDS (confirm.fields): the country's forms do not define `deceased.nidStatus` in the form of `death`;";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);

    country.defines(BIRTH, DEATH);
    started(&mut world).await;
    country.defines(BIRTH, &["deceased.nid"]);
    tokio::time::sleep(Duration::from_millis(150)).await;
    let [birth, death] = [Kind::Birth, Kind::Death].map(|kind| people(kind, 1, kind as u64 + 313).remove(0));
    submit(&world, &death, SubmitOptions::default()).await;
    stands_as(&world, &death.record, "parked").await;
    submit(&world, &birth, SubmitOptions::default()).await;
    ends_as(&world, &birth.record, Status::Registered).await;
    assert_eq!(world.opencrvs.record(&death.record).unwrap().confirms.len(), 0);

    country.defines(BIRTH, DEATH);
    let (code, told) =
        world.run(&["attempts", "resume", "--cause", "field_undefined", "--reason", "added"], &[]).await;
    assert_eq!(code, Some(0), "{told}");
    ends_as(&world, &death.record, Status::Registered).await;
    whole(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmer_starts_without_the_forms_and_writes_nothing_before_it_has_them() {
    let (mut world, country) = mapped("/config/events", &[]).await;
    country.fails();
    started(&mut world).await;
    let birth = people(Kind::Birth, 1, 317).remove(0);
    submit(&world, &birth, SubmitOptions::default()).await;
    let told = "GET /config/events with HTTP 503";
    eventually(Duration::from_secs(30), "the confirmer wants to write", async || {
        (world.log_text("confirmer").matches(told).count() >= 2).then_some(())
    })
    .await;
    assert_eq!(world.opencrvs.record(&birth.record).unwrap().confirms.len(), 0);
    country.defines(BIRTH, DEATH);
    ends_as(&world, &birth.record, Status::Registered).await;
    whole(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_settings_shows_the_mapping_with_its_conditions() {
    let (world, _country) = mapped("/config/events", &[]).await;
    let checked = ended(&world, &["config", "check"], &[]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let told = r#"CONFIRM_FIELDS (confirm.fields) writes: birth: child.nid = id when issued, child.idType = "NATIONAL_ID" when issued,"#;
    assert!(checked.stdout.contains(told), "{}", checked.stdout);
    let both = ended(&world, &["config", "check"], &[("CONFIRM_IDENTIFIER_FIELD", "child.nid")]).await;
    let told = "CONFIRM_IDENTIFIER_FIELD (confirm.identifier_field): is set, and CONFIRM_FIELDS (confirm.fields) as well;";
    assert_eq!(both.code, Some(78));
    assert!(both.stderr.contains(told), "{}", both.stderr);
}
