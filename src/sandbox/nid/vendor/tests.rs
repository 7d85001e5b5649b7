use serde_json::json;

use super::*;
use clap::ValueEnum as _;

use crate::sandbox::nid::Asked;

fn request(person: u64, submission: u64) -> Vec<u8> {
    json!({
        "specversion": "1.0", "id": format!("person-{person}"), "source": "/bridge",
        "type": "crvs.nid.birth.request.v1", "time": "2026-01-05T10:00:00Z", "datacontenttype": "application/json",
        "data": {
            "submission": submission, "expires_at": "2026-01-12T10:00:00Z",
            "registration": {"number": format!("2026B{person:06}"), "registered_on": "2026-01-05"},
            "subject": {
                "name": {"full": format!("Amara {submission}")}, "date_of_birth": "2025-12-30", "sex": "female"
            }
        }
    })
    .to_string()
    .into_bytes()
}

fn said(planned: &[Planned]) -> Vec<Value> {
    let parse = |message: &Planned| serde_json::from_slice::<Value>(&message.body).ok();
    planned.iter().filter_map(parse).map(|event| event["data"].clone()).collect()
}

/// What a vendor plans for a submission of a person.
fn ask(vendor: &mut Vendor, person: u64, submission: u64) -> Vec<Planned> {
    vendor.answer(&request(person, submission), Timestamp::UNIX_EPOCH)
}

fn vendor(settings: VendorSettings) -> Vendor {
    Vendor::new(VendorSettings { seed: 5, ..settings })
}

#[test]
fn a_repeat_gets_the_same_answer_in_a_new_message() {
    let mut vendor = vendor(VendorSettings::default());
    let first = ask(&mut vendor, 1, 1);
    let again = ask(&mut vendor, 1, 1);
    assert_eq!(said(&first), said(&again));
    assert_eq!(said(&first)[0]["status"], "issued");
    assert_ne!(first[0].message_id, again[0].message_id);
    assert_eq!((vendor.state().persons, vendor.state().repeats), (1, 1));
}

#[test]
fn an_id_once_issued_is_answered_to_every_later_submission() {
    let mut vendor = vendor(VendorSettings::default());
    let first = said(&ask(&mut vendor, 1, 1));
    vendor.settings_mut().reject = 1.0;
    vendor.will_answer("person-1", Final::Rejected("policy"));
    let second = said(&ask(&mut vendor, 1, 2));
    assert_eq!(second[0]["national_id"], first[0]["national_id"]);
    assert_eq!(second[0]["submission"], 2);
    assert_eq!((vendor.state().persons, vendor.state().ids_doubled), (1, 0));
}

#[test]
fn a_corrected_submission_is_evaluated_anew() {
    let mut vendor = vendor(VendorSettings { reject: 1.0, ..VendorSettings::default() });
    assert_eq!(said(&ask(&mut vendor, 1, 1))[0]["status"], "rejected");
    vendor.settings_mut().reject = 0.0;
    assert_eq!(said(&ask(&mut vendor, 1, 1))[0]["status"], "rejected");
    assert_eq!(said(&ask(&mut vendor, 1, 2))[0]["status"], "issued");
    assert_eq!(vendor.state().ended("issued"), 1);
}

#[test]
fn whoever_is_asked_to_retry_gets_the_answer_the_next_time() {
    let mut vendor = vendor(VendorSettings { retry: 1.0, ..VendorSettings::default() });
    let first = said(&ask(&mut vendor, 1, 1));
    assert_eq!(
        (first.len(), &first[0]["status"], &first[0]["retry_after_s"]),
        (1, &json!("retry"), &json!(1))
    );
    assert_eq!(said(&ask(&mut vendor, 1, 1))[0]["status"], "issued");
}

#[test]
fn a_restarted_vendor_issues_the_same_ids_and_nobody_shares_one() {
    let (mut before, mut after) = (vendor(VendorSettings::default()), vendor(VendorSettings::default()));
    let mut ids = HashSet::new();
    for person in 0..500 {
        let first = said(&ask(&mut before, person, 1));
        let again = said(&ask(&mut after, person, 1));
        assert_eq!(first[0]["national_id"], again[0]["national_id"]);
        let id = first[0]["national_id"].as_str().unwrap().to_owned();
        assert_eq!(id.len(), 10);
        assert!(ids.insert(id));
    }
}

#[test]
fn an_id_that_is_taken_comes_beside_the_answer_and_is_nobodys_second() {
    let mut vendor = vendor(VendorSettings { mistake: 1.0, ..VendorSettings::default() });
    assert_eq!(said(&ask(&mut vendor, 1, 1)).len(), 1, "nobody's to give");
    vendor.settings_mut().taken_id = Some("4999999999".to_owned());
    let mut turns = [0, 0];
    for person in 2..102 {
        let planned = ask(&mut vendor, person, 1);
        let ids: Vec<Value> = said(&planned).iter().map(|said| said["national_id"].clone()).collect();
        let taken = ids.iter().position(|id| id == "4999999999").unwrap();
        assert_eq!(ids.len(), 2, "{ids:?}");
        turns[taken] += 1;
        let apart = [Duration::ZERO, VendorSettings::default().contradict_after][taken];
        assert_eq!(planned[taken].apart, apart);
    }
    assert!(turns.iter().all(|turn| *turn > 30), "{turns:?}");
    assert_eq!(said(&ask(&mut vendor, 2, 1)).len(), 1, "a repeat is a repeat");
    assert_eq!((vendor.state().misbehaved["id_of_another"], vendor.state().ids_doubled), (100, 0));
}

#[test]
fn the_shares_hold_and_garbage_never_takes_the_place_of_an_answer() {
    let mut vendor = vendor(VendorSettings { garbage: 0.5, retry: 0.0, ..VendorSettings::lively() });
    for person in 0..1_000 {
        let planned = ask(&mut vendor, person, 1);
        let genuine = planned.iter().position(|message| {
            let said = said(std::slice::from_ref(message));
            let about_us = said.first().is_some_and(|said| said["request_id"] == format!("person-{person}"));
            about_us
                && message.body.len() < 10_000
                && ["issued", "rejected"].iter().any(|status| {
                    said[0]["status"] == *status
                        && said[0]["submission"] == 1
                        && (*status == "rejected" || said[0].get("national_id").is_some())
                })
        });
        let first = &said(&planned[genuine.unwrap()..=genuine.unwrap()])[0];
        let kept = &vendor.state().finals[&format!("person-{person}")];
        assert_eq!(first["status"], kept.status(), "a contradiction came first");
    }
    let state = vendor.state();
    let garbage = state.misbehaved.iter().filter(|(way, _)| way.starts_with("garbage."));
    assert_eq!(garbage.clone().count(), InvalidReply::value_variants().len());
    for (what, count, share) in [
        ("rejected", state.ended("rejected"), 100),
        ("duplicates", usize::try_from(state.misbehaved["duplicate"]).unwrap(), 120),
        ("late", usize::try_from(state.misbehaved["late"]).unwrap(), 50),
        ("garbage", usize::try_from(garbage.map(|(_, times)| times).sum::<u64>()).unwrap(), 500),
    ] {
        assert!(count.abs_diff(share) < 50, "{what}: {count} instead of about {share}");
    }
}

#[test]
fn a_bridge_that_breaks_the_contract_is_counted() {
    let mut vendor = vendor(VendorSettings::default());
    assert!(vendor.answer(b"not a request", Timestamp::UNIX_EPOCH).is_empty());
    ask(&mut vendor, 1, 1);
    let other_content = String::from_utf8(request(1, 1)).unwrap().replace("Amara", "Aamara");
    vendor.answer(other_content.as_bytes(), Timestamp::UNIX_EPOCH);
    let other_id = String::from_utf8(request(1, 1)).unwrap().replace("person-1", "person-2");
    vendor.answer(other_id.as_bytes(), Timestamp::UNIX_EPOCH);
    let state = vendor.state();
    assert_eq!((state.malformed, state.changed_repeats, state.persons_doubled), (1, 1, 1));
}

#[test]
fn a_death_without_a_national_id_is_rejected_by_name_of_the_field() {
    let mut vendor = vendor(VendorSettings::default());
    let death = String::from_utf8(request(1, 1)).unwrap().replace("birth.request", "death.request");
    let said = said(&vendor.answer(death.as_bytes(), Timestamp::UNIX_EPOCH));
    assert_eq!(said[0]["reason"]["code"], "missing_data");
}

#[test]
fn the_vendor_ends_every_submission_as_it_was_known_beforehand() {
    let settings = VendorSettings { reject: 0.4, contradict: 0.3, retry: 0.0, ..VendorSettings::lively() };
    let mut vendor = vendor(settings);
    let settings = vendor.settings_mut().clone();
    for person in 0..300 {
        for _ in 0..2 {
            ask(&mut vendor, person, 1);
            ask(&mut vendor, person, 3);
        }
        let id = format!("person-{person}");
        let answers = &vendor.state().answers[&id];
        assert_eq!(Some(&answers[&1]), settings.ending(&id, Asked::Birth, &[1]).as_ref());
        assert_eq!(Some(&answers[&3]), settings.ending(&id, Asked::Birth, &[1, 3]).as_ref());
    }
}

#[test]
fn a_contradiction_comes_well_after_the_answer_that_holds() {
    let mut vendor = vendor(VendorSettings {
        reject: 0.5,
        reject_for_good: true,
        contradict: 1.0,
        ..VendorSettings::default()
    });
    for person in 0..40 {
        let planned = ask(&mut vendor, person, 1);
        let said = said(&planned);
        let kept = vendor.state().finals[&format!("person-{person}")].status();
        assert_eq!((said.len(), said[0]["status"].as_str().unwrap()), (2, kept));
        assert_ne!(said[1]["status"], kept);
        assert!(planned[1].after > planned[0].after && planned[1].apart == Duration::from_secs(2));
        assert_eq!(ask(&mut vendor, person, 1).len(), 1, "only once");
    }
    assert_eq!(vendor.state().misbehaved["contradiction"], 40);
}

#[test]
fn whoever_is_answered_at_once_is_answered_without_any_latency() {
    let mut vendor = vendor(VendorSettings { at_once: 0.5, ..VendorSettings::default() });
    let at_once = (0..400).filter(|person| {
        let planned = ask(&mut vendor, *person, 1);
        planned[0].after.is_zero()
    });
    let at_once = u64::try_from(at_once.count()).unwrap();
    assert!(at_once.abs_diff(200) < 40, "{at_once}");
    assert_eq!(vendor.state().misbehaved["at_once"], at_once);
}
