#![expect(clippy::needless_pass_by_value, reason = "values are written as literals in the call")]

use serde_json::{Value, json};

use super::*;
use crate::domain::{Role, View};

pub(super) const PENDING: &str = "e4ef249e-dc06-4b5e-840a-2ee7edc3f826";

/// Reads a recording from the folder that `NIDBRIDGE_FIXTURES` names, or from the folder beside the
/// repository.
#[expect(clippy::disallowed_methods, reason = "where the fixtures are is no setting of the bridge")]
#[expect(clippy::print_stderr, reason = "a skipped test must be visible")]
pub(super) fn fixture(name: &str) -> Option<Vec<u8>> {
    let beside = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let folder = std::env::var("NIDBRIDGE_FIXTURES").map_or(beside, Into::into).join("events");
    let found = std::fs::read(folder.join(name)).ok();
    if found.is_none() {
        eprintln!("SKIPPED: no {name}: set NIDBRIDGE_FIXTURES to the folder that has events/{name}");
    }
    found
}

fn read(body: &[u8], action: Option<&ActionId>) -> Result<Document, InvalidDocument> {
    super::read(body, action, &Reading::default())
}

fn pending() -> ActionId {
    ActionId::parse(PENDING).unwrap()
}

pub(super) fn action(id: &str, status: &str, kind: &str, at: u32, more: Value) -> Value {
    let mut action = json!({
        "id": id, "status": status, "type": kind, "createdAt": format!("2026-01-01T00:00:{at:02}.000Z"),
        "createdAtLocation": "office-1", "transactionId": "t", "createdBy": "u", "declaration": {},
    });
    for (name, value) in more.as_object().unwrap() {
        action[name] = value.clone();
    }
    action
}

pub(super) fn declared(declaration: Value) -> Value {
    json!({ "declaration": declaration })
}

pub(super) fn event(kind: &str, actions: &[Value]) -> Value {
    json!({ "id": "event-1", "type": kind, "trackingId": "PRZIB7", "actions": actions })
}

pub(super) fn read_event(event: &Value) -> Result<Document, InvalidDocument> {
    read(event.to_string().as_bytes(), Some(&pending()))
}

#[test]
fn an_instant_in_place_of_a_date_is_the_day_in_the_country() {
    let declaration = json!({
        "eventDetails.date": "2026-09-30T22:30:00.000Z", "deceased.dob": "1950-01-01T22:30:00Z",
        "deceased.nid": "1234567890",
    });
    let actions = [action(PENDING, "Requested", "REGISTER", 1, declared(declaration))];
    let lusaka = Reading::default().in_zone(jiff::tz::TimeZone::get("Africa/Lusaka").unwrap());
    let body = event("death", &actions).to_string();
    let view = super::read(body.as_bytes(), Some(&pending()), &lusaka).unwrap().view;
    let deceased = view.person(Role::Deceased).unwrap();
    assert_eq!(deceased.date_of_death.as_deref(), Some("2026-10-01"));
    assert_eq!(deceased.dob.as_deref(), Some("1950-01-02"));
    assert_eq!(view.event_details.date.as_deref(), Some("2026-10-01"));
}

fn firstname(view: &View) -> Option<&str> {
    view.person(Role::Child)?.name.as_ref()?.firstname.as_deref()
}

fn named(actions: &[Value]) -> Option<String> {
    firstname(&read_event(&event("birth", actions)).unwrap().view).map(str::to_owned)
}

fn first(name: &str) -> Value {
    declared(json!({ "child.name": { "firstname": name } }))
}

#[test]
fn the_registrars_own_edit_wins_and_all_other_fields_stay() {
    let Some(body) = fixture("synthetic-2.0-birth-REGISTER-with-edit.json") else { return };
    let document = read(&body, Some(&pending())).unwrap();
    assert_eq!(document.record.as_str(), "43b8c015-2caf-469a-8900-a2209128ad44");
    assert_eq!(document.mark, PENDING);
    assert_eq!(document.stamp.to_string(), "2025-08-20T04:01:00Z");
    assert_eq!((document.kind, document.tracking_id.as_str()), (EventKind::Birth, "PRZIB7"));
    assert_eq!(document.office.as_deref(), Some("9e069dda-0d83-4f67-a4f2-9adbf5658e2e"));
    let child = document.view.person(Role::Child).unwrap();
    let name = child.name.as_ref().unwrap();
    assert_eq!(name.firstname.as_deref(), Some("Ace Corrected"));
    assert_eq!(name.surname.as_deref(), Some("Portgas D."));
    assert_eq!((child.gender.as_deref(), child.dob.as_deref()), (Some("male"), Some("2025-08-18")));
    let mother = document.view.person(Role::Mother).unwrap();
    assert_eq!(mother.nid.as_deref(), Some("1234567891"));
    let father = document.view.person(Role::Father).unwrap();
    assert_eq!(father.address, mother.address);
    let informant = document.view.person(Role::Informant).unwrap();
    assert_eq!((informant.relation.as_deref(), &informant.nid), (Some("MOTHER"), &mother.nid));
    let place = document.view.event_details.place.unwrap();
    assert_eq!(place.id.as_deref(), Some("0431c433-6062-4a4c-aee9-25271aec61ee"));
    assert_eq!(place.kind.as_deref(), Some("HEALTH_FACILITY"));
}

#[test]
fn the_recorded_triggers_give_their_view() {
    let Some(birth) = fixture("trigger-birth-REGISTER.json") else { return };
    let birth = read(&birth, Some(&pending())).unwrap();
    assert_eq!(firstname(&birth.view), Some("Ace"));
    let death = read(&fixture("trigger-death-REGISTER.json").unwrap(), Some(&pending())).unwrap();
    let deceased = death.view.person(Role::Deceased).unwrap();
    assert_eq!((&death.kind, deceased.date_of_death.as_deref()), (&EventKind::Death, Some("2025-08-19")));
    assert!(deceased.dob.is_none() && deceased.age.is_some() && deceased.nid.is_none());
    let spouse = death.view.person(Role::Spouse).unwrap();
    assert_eq!(spouse.address, deceased.address);
    assert_eq!(death.view.person(Role::Informant).unwrap().name, spouse.name);
    let place = death.view.event_details.place.unwrap();
    assert_eq!(place.id.as_deref(), Some("afaead2b-7ef5-4adb-b4bf-3d2b8437c284"));
}

#[test]
fn a_document_without_a_pending_registration_is_refused() {
    let Some(notify) = fixture("trigger-birth-NOTIFY.json") else { return };
    assert_eq!(read(&notify, Some(&pending())).unwrap_err(), InvalidDocument::NoPendingAction);
    let answered = [
        action(PENDING, "Requested", "REGISTER", 1, json!({})),
        action("b", "Accepted", "REGISTER", 2, json!({ "originalActionId": PENDING })),
    ];
    assert!(read_event(&event("birth", &answered)).is_ok(), "the token's own action always counts");
    let other = ActionId::parse("other").unwrap();
    let body = event("birth", &answered).to_string();
    assert_eq!(read(body.as_bytes(), Some(&other)).unwrap_err(), InvalidDocument::NoPendingAction);
}

/// The action that is to be answered, read from the body alone.
fn found(actions: &[Value]) -> Result<String, InvalidDocument> {
    read(event("birth", actions).to_string().as_bytes(), None).map(|document| document.mark)
}

#[test]
fn without_the_token_of_an_action_the_last_pending_registration_is_found_in_the_body() {
    let register = |id: &str, at| action(id, "Requested", "REGISTER", at, json!({}));
    let answer =
        |of: &str, status: &str| action("x", status, "REGISTER", 9, json!({ "originalActionId": of }));
    let none = Err(InvalidDocument::NoPendingAction);
    assert_eq!(found(&[]), none);
    assert_eq!(found(&[action("a", "Requested", "DECLARE", 1, json!({}))]), none, "another type");
    for status in ["Accepted", "Rejected"] {
        assert_eq!(found(&[register("a", 1), answer("a", status)]), none, "it is answered");
    }
    let early = [action("n", "Requested", "NOTIFY", 5, json!({})), register("a", 2), register("b", 3)];
    assert_eq!(found(&early).as_deref(), Ok("b"), "several actions in one go");
    let swapped = [register("b", 3), register("a", 2)];
    assert_eq!(found(&swapped).as_deref(), Ok("b"), "the time decides, not the list");
    assert_eq!(
        found(&[register("a", 2), register("b", 2)]).as_deref(),
        Ok("b"),
        "and the list at the same time"
    );
    let again = [register("a", 1), answer("a", "Rejected"), register("b", 2)];
    assert_eq!(found(&again).as_deref(), Ok("b"), "registered again after a rejection");
    let answered_last = [register("a", 1), register("b", 2), answer("b", "Accepted")];
    assert_eq!(found(&answered_last).as_deref(), Ok("a"));
    assert_eq!(found(&[register("", 1)]), none, "an id that cannot be answered");
}

#[test]
fn a_token_that_is_bound_to_an_action_needs_that_very_action_in_the_body() {
    let register = |id: &str, at| action(id, "Requested", "REGISTER", at, json!({}));
    let bound = |actions: &[Value]| {
        read_bound(event("birth", actions).to_string().as_bytes(), &pending(), &Reading::default())
            .map(|document| document.mark)
    };
    let none = Err(InvalidDocument::NoPendingAction);
    assert_eq!(bound(&[register(PENDING, 1), register("later", 2)]).as_deref(), Ok(PENDING));
    assert_eq!(bound(&[register("other", 1)]), none);
    let accepted = action("x", "Accepted", "REGISTER", 2, json!({ "originalActionId": PENDING }));
    assert_eq!(bound(&[register(PENDING, 1), accepted]), none);
    assert_eq!(bound(&[action(PENDING, "Requested", "DECLARE", 1, json!({}))]), none);
}

#[test]
fn requests_count_only_once_they_are_accepted() {
    let register = action(PENDING, "Requested", "REGISTER", 9, json!({}));
    let base = action("a", "Accepted", "DECLARE", 1, first("Base"));
    let asked = action("r", "Requested", "EDIT", 2, first("Edited"));
    let accepted = action("s", "Accepted", "EDIT", 3, json!({ "originalActionId": "r" }));
    let rejected = action("s", "Rejected", "EDIT", 3, json!({ "originalActionId": "r" }));
    let of = |actions: &[&Value]| named(&actions.iter().map(|one| (*one).clone()).collect::<Vec<_>>());
    assert_eq!(of(&[&base, &asked, &register]).as_deref(), Some("Base"));
    assert_eq!(of(&[&base, &asked, &rejected, &register]).as_deref(), Some("Base"));
    assert_eq!(of(&[&base, &asked, &accepted, &register]).as_deref(), Some("Edited"));
    // Actions are merged in the order of their times, not of the list, and the declaration of an
    // acceptance is merged over that of its request.
    assert_eq!(of(&[&accepted, &asked, &base, &register]).as_deref(), Some("Edited"));
    let mut own = accepted.clone();
    own["declaration"] = json!({ "child.name": { "firstname": "Own" } });
    assert_eq!(of(&[&base, &asked, &own, &register]).as_deref(), Some("Own"));
}

#[test]
fn a_correction_counts_only_after_its_approval() {
    let register = action(PENDING, "Requested", "REGISTER", 9, json!({}));
    let base = action("a", "Accepted", "DECLARE", 1, first("Base"));
    let asked = action("c", "Requested", "REQUEST_CORRECTION", 2, first("Corrected"));
    let accepted = action("d", "Accepted", "REQUEST_CORRECTION", 3, json!({ "originalActionId": "c" }));
    let approval = |of: &str| action("e", "Accepted", "APPROVE_CORRECTION", 4, json!({ "requestId": of }));
    let of = |more: &[&Value]| {
        let all = [&base, &asked, &accepted, &register].into_iter().chain(more.iter().copied());
        named(&all.cloned().collect::<Vec<_>>())
    };
    assert_eq!(of(&[]).as_deref(), Some("Base"));
    assert_eq!(of(&[&approval("d")]).as_deref(), Some("Corrected"));
    // Core looks for the request among the accepted actions only.
    for unknown in ["c", "unknown"] {
        assert_eq!(of(&[&approval(unknown)]).as_deref(), Some("Base"), "{unknown}");
    }
    let printed = action("p", "Accepted", "PRINT_CERTIFICATE", 5, first("Printed"));
    assert_eq!(of(&[&printed]).as_deref(), Some("Base"));
}

#[test]
fn null_erases_a_field_or_a_part_of_its_value() {
    let actions = [
        action("a", "Accepted", "DECLARE", 1, first("Ada")),
        action("d", "Accepted", "EDIT", 2, declared(json!({ "child.dob": "2026-01-01", "mother.nid": "1" }))),
        action(
            "b",
            "Accepted",
            "EDIT",
            2,
            declared(json!({ "child.name": { "firstname": null, "surname": "B" } })),
        ),
        action(
            PENDING,
            "Requested",
            "REGISTER",
            3,
            declared(json!({ "child.dob": null, "mother.nid": null })),
        ),
    ];
    let view = read_event(&event("birth", &actions)).unwrap().view;
    let child = view.person(Role::Child).unwrap();
    let name = child.name.clone().unwrap();
    assert_eq!((name.firstname, name.surname.as_deref()), (None, Some("B")));
    assert_eq!(child.dob, None, "the registrar erased it while registering");
    assert!(view.person(Role::Mother).is_none());
}

#[test]
fn a_document_that_cannot_be_answered_is_refused_with_its_cause() {
    let good = event("birth", &[action(PENDING, "Requested", "REGISTER", 1, json!({}))]);
    let without = |name: &str| {
        let mut event = good.clone();
        event.as_object_mut().unwrap().remove(name);
        read_event(&event).unwrap_err()
    };
    assert!(read_event(&good).is_ok());
    assert_eq!(without("id"), InvalidDocument::NoId);
    assert_eq!(without("type"), InvalidDocument::NoType);
    assert_eq!(without("trackingId"), InvalidDocument::NoTrackingId);
    assert_eq!(without("actions"), InvalidDocument::NotADocument);
    let mut undated = good.clone();
    undated["actions"][0]["createdAt"] = json!("soon");
    assert_eq!(read_event(&undated).unwrap_err(), InvalidDocument::NoCreatedAt);
    for (body, refusal) in [
        ("", InvalidDocument::Empty),
        ("{", InvalidDocument::NotADocument),
        ("[]", InvalidDocument::NotADocument),
    ] {
        assert_eq!(read(body.as_bytes(), Some(&pending())).unwrap_err(), refusal, "{body}");
    }
}

#[test]
fn a_kind_of_event_is_a_short_text_without_control_characters() {
    let longest = "k".repeat(LONGEST_MARK);
    for (kind, usable) in [
        ("birth", true),
        (" tennis-club-membership ", true),
        (longest.as_str(), true),
        (&format!("{longest}k"), false),
        ("bi\u{0}rth", false),
        ("bi\nrth", false),
        ("", false),
        ("  ", false),
    ] {
        let read = read_event(&event(kind, &[action(PENDING, "Requested", "REGISTER", 1, json!({}))]));
        let expected =
            if usable { Ok(EventKind::from_name(kind.trim())) } else { Err(InvalidDocument::NoType) };
        assert_eq!(read.map(|document| document.kind), expected, "{kind:?}");
    }
}
