//! Countries whose forms have other fields than the convention: a front that could read no
//! registration of a kind is not ready and says why, and reads them once a setting says where.

use std::time::Duration;

use nidbridge::domain::Role;
use serde_json::json;

use super::events::{REGISTER, action_token, event, post, set_up};
use super::{NAME, stored, view};
use crate::events::fields::Country;
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::operator::ended;

const BIRTH: &[&str] = &["child.name", "child.dob", "child.gender"];
const DEATH: &[&str] = &["deceased.nid", "deceased.eventDate"];

fn without<'f>(form: &[&'f str], field: &str) -> Vec<&'f str> {
    form.iter().copied().filter(|one| *one != field).collect()
}

/// A country whose form of births has the names of a child in three other fields.
async fn country(world: &mut World) -> Country {
    set_up(world);
    let country = Country::telling_forms_at("/config/events").await;
    let names = ["child.nameEnglish", "child.nameSinhala", "child.nameTamil"];
    country.has_forms(&[&without(BIRTH, "child.name")[..], &names].concat(), DEATH, "deceased.eventDate");
    world.set("COUNTRY_CONFIG_URL", &country.url);
    world.set("CONFIRM_FIELD_RECHECK", "200ms");
    country
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_is_not_ready_while_the_forms_lack_a_member_and_reads_the_one_that_a_setting_names() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let _country = country(&mut world).await;
    world.start("front");
    let fault = "FIELDS_EVENTS (fields.events): `child.name` is read from `child.name`, which the form of `birth` does not have";
    eventually(SOON, "the fault is named", async || world.log_text("front").contains(fault).then_some(()))
        .await;
    let (status, body) = world.admin("front", "/readyz").unwrap();
    assert!(status == 503 && body.contains("front_forms"), "{status} {body}");
    world.kill9("front");

    world.set("FIELDS_EVENTS", "child.name = child.nameEnglish");
    world.start("front");
    world.ready("front").await;
    let mut birth = event("event-1", "action-1");
    let declared = birth["actions"][0]["declaration"].as_object_mut().unwrap();
    declared.remove("child.name");
    declared.insert("child.nameEnglish".to_owned(), json!({ "firstname": NAME, "surname": "Perera" }));
    declared.insert("child.nameTamil".to_owned(), json!({ "firstname": "நிமாலி", "surname": "பெரேரா" }));
    birth["actions"][1]["declaration"] = json!({});
    let token = action_token(&world, "event-1", "action-1");
    assert_eq!(post(&world.front, REGISTER, &token, birth.to_string().as_bytes()).await.status, 202);
    let name = view(&stored(&world).await[0]).1.person(Role::Child).unwrap().name.clone().unwrap();
    assert_eq!((name.firstname.as_deref(), name.surname.as_deref()), (Some(NAME), Some("Perera")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_date_of_death_is_read_from_the_field_that_the_event_config_names() {
    let mut world =
        World::empty(Engine::Sqlite, &[("FIELDS_EVENTS", "child.name = child.nameEnglish")]).await;
    let _country = country(&mut world).await;
    world.start("front");
    world.ready("front").await;
    let death = |day: Option<&str>| {
        let mut death = event("event-2", "action-2");
        death["type"] = "death".into();
        death["actions"][0]["declaration"] =
            json!({ "deceased.nid": "7001112223", "deceased.eventDate": day });
        death["actions"][1]["declaration"] = json!({});
        death.to_string()
    };
    let path = REGISTER.replace("birth", "death");
    let token = action_token(&world, "event-2", "action-2");
    // Where the form allows none, the registrar is told at once.
    let refused = post(&world.front, &path, &token, death(None).as_bytes()).await;
    assert!(refused.status == 400 && refused.body.contains("subject.date_of_death"), "{refused:?}");
    assert_eq!(post(&world.front, &path, &token, death(Some("2026-11-01")).as_bytes()).await.status, 202);
    let stored = stored(&world).await;
    let died = view(&stored[0]).1.person(Role::Deceased).unwrap().date_of_death.clone();
    assert_eq!((stored.len(), died.as_deref()), (1, Some("2026-11-01")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_is_ready_as_soon_as_the_forms_have_what_they_lacked() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let country = country(&mut world).await;
    world.start("front");
    let not_ready = async || world.admin("front", "/readyz").filter(|(status, _)| *status == 503).map(drop);
    eventually(SOON, "it is not ready", not_ready).await;
    country.has_forms(BIRTH, DEATH, "deceased.eventDate");
    tokio::time::timeout(Duration::from_secs(30), world.ready("front")).await.expect("ready by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_settings_names_each_required_member_that_the_forms_lack() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let country = country(&mut world).await;
    for (field, member, kind) in [
        ("child.name", "child.name", "birth"),
        ("child.gender", "child.gender", "birth"),
        ("deceased.nid", "deceased.nid", "death"),
    ] {
        country.has_forms(&without(BIRTH, field), &without(DEATH, field), "deceased.eventDate");
        let checked = ended(&world, &["config", "check"], &[]).await;
        assert_eq!(checked.code, Some(78), "{field}: {}", checked.stdout);
        let told = format!("`{member}` is read from `{field}`, which the form of `{kind}` does not have");
        assert!(checked.stderr.contains(&told), "{field}: {}", checked.stderr);
    }
    country.has_forms(BIRTH, DEATH, "deceased.eventDate");
    let checked = ended(&world, &["config", "check"], &[]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    for reads in ["FIELDS_EVENTS (fields.events) reads: ", "FIELDS_FHIR (fields.fhir) reads: "] {
        assert!(checked.stdout.contains(reads), "{}", checked.stdout);
    }
}
