//! What is sent for each shape of name, ID and place, and what is refused.

use serde_json::{Value, json};

use super::*;
use crate::domain::{EventKind, Name, Place};
use crate::nid::fitness;

fn name(firstname: &str, middlename: &str, surname: &str) -> Name {
    let part = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Name { firstname: part(firstname), middlename: part(middlename), surname: part(surname) }
}

fn child(name: Name) -> Person {
    Person {
        name: Some(name),
        dob: Some("2026-10-05".into()),
        gender: Some("female".into()),
        ..Person::default()
    }
}

fn birth(child: Person) -> View {
    let mut view = View::default();
    view.persons.insert(Role::Child, child);
    view
}

fn death(nid: &str, day: &str) -> View {
    let mut view = View::default();
    let deceased = Person { nid: Some(nid.into()), date_of_death: Some(day.into()), ..Person::default() };
    view.persons.insert(Role::Deceased, deceased);
    view
}

fn accepted_at() -> Timestamp {
    "2026-12-01T09:00:00Z".parse().unwrap()
}

fn latest() -> Date {
    latest_day(accepted_at())
}

fn sent(view: &View) -> Value {
    let mut faults = FieldFaults::default();
    let subject = birth_subject(view, latest(), &mut faults);
    assert!(faults.is_empty(), "{faults}");
    serde_json::to_value(subject).unwrap()
}

/// The invalid and missing fields.
fn unfit(kind: &EventKind, view: &View) -> (Vec<String>, Vec<String>) {
    let faults = fitness(kind, view, None, accepted_at()).unwrap_err();
    (faults.invalid, faults.missing)
}

#[test]
fn a_name_is_sent_whole_in_every_script() {
    for (first, middle, last, full) in [
        ("Tessa", "", "Vesterby", "Tessa Vesterby"),
        ("Anna Maria", "Luise", "von der Heide", "Anna Maria Luise von der Heide"),
        ("", "", "Suharto", "Suharto"),
        ("Suharto", "", "", "Suharto"),
        ("நிமாலி", "", "பெரேரா", "நிமாலி பெரேரா"),
        ("নুসরাত জাহান", "", "চৌধুরী", "নুসরাত জাহান চৌধুরী"),
        ("ሰላም", "አለሙ", "ተስፋዬ", "ሰላም አለሙ ተስፋዬ"),
        ("محمد", "بن عبد الله", "الراشد", "محمد بن عبد الله الراشد"),
        ("N'Golo", "", "O’Brien-Ngũgĩ", "N'Golo O’Brien-Ngũgĩ"),
        ("  Ada ", " ", " Doe ", "Ada Doe"),
    ] {
        let sent = sent(&birth(child(name(first, middle, last))));
        assert_eq!(sent["name"]["full"], full);
    }
}

#[test]
fn a_name_of_200_characters_is_sent_and_a_longer_one_is_invalid_and_never_missing() {
    for letter in ["x", "é", "க", "ক", "ሀ", "𞤀"] {
        // 86 characters are 258 bytes in Tamil or Bengali.
        for (given, family, fits) in
            [(86, 86, true), (100, 99, true), (100, 100, false), (201, 1, false), (512, 0, false)]
        {
            let (given, family) = (letter.repeat(given), letter.repeat(family));
            let view = birth(child(name(&given, "", &family)));
            if fits {
                let sent = sent(&view);
                assert_eq!(
                    (sent["name"]["given"].as_str(), sent["name"]["family"].as_str()),
                    (Some(&*given), Some(&*family))
                );
            } else {
                assert_eq!(unfit(&EventKind::Birth, &view), (vec!["subject.name".to_owned()], vec![]));
            }
        }
    }
}

#[test]
fn the_language_of_a_name_is_sent_if_it_is_known() {
    for (tag, sent_as) in [
        (Some("bn"), json!("ben")),
        (Some("en"), json!("eng")),
        (Some("usual"), Value::Null),
        (None, Value::Null),
    ] {
        let person = Person { lang: tag.map(str::to_owned), ..child(name("Ada", "", "Doe")) };
        assert_eq!(sent(&birth(person))["name"]["lang"], sent_as, "{tag:?}");
    }
}

#[test]
fn missing_and_invalid_fields_are_named() {
    let good = || child(name("Ada", "", "Doe"));
    let field = |name: &str| vec![name.to_owned()];
    for (person, invalid, missing) in [
        (Person { dob: None, ..good() }, vec![], field("subject.date_of_birth")),
        (Person { dob: Some(" ".into()), ..good() }, vec![], field("subject.date_of_birth")),
        (Person { dob: Some("5/9/2026".into()), ..good() }, field("subject.date_of_birth"), vec![]),
        (Person { dob: Some("2569-09-05".into()), ..good() }, field("subject.date_of_birth"), vec![]),
        (Person { gender: Some("intersex".into()), ..good() }, field("subject.sex"), vec![]),
        (Person { gender: None, ..good() }, vec![], field("subject.sex")),
        (Person { name: None, ..good() }, vec![], field("subject.name")),
        (Person { name: Some(name(" ", "", "")), ..good() }, vec![], field("subject.name")),
        (
            Person { dob: None, gender: Some("m".into()), ..good() },
            field("subject.sex"),
            field("subject.date_of_birth"),
        ),
    ] {
        assert_eq!(unfit(&EventKind::Birth, &birth(person)), (invalid, missing));
    }
    assert_eq!(
        unfit(&EventKind::Birth, &View::default()).1,
        ["subject.name", "subject.date_of_birth", "subject.sex"]
    );
    assert_eq!(unfit(&EventKind::Death, &death("123", "")).1, ["subject.date_of_death"]);
    assert_eq!(unfit(&EventKind::Death, &death(&"9".repeat(65), "2026-9-5")).0, ["subject.national_id"]);
    assert!(
        fitness(&EventKind::Death, &View::default(), None, accepted_at()).is_ok(),
        "nobody is asked without an ID"
    );
    assert!(fitness(&EventKind::Marriage, &View::default(), None, accepted_at()).is_ok());
    let named = fitness(
        &EventKind::Birth,
        &birth(Person { dob: None, gender: Some("m".into()), ..good() }),
        None,
        accepted_at(),
    );
    assert_eq!(
        named.unwrap_err().to_string(),
        "missing: date of birth (subject.date_of_birth); invalid or too long: sex (subject.sex)"
    );
}

#[test]
fn each_parent_is_sent_under_its_own_role() {
    let mut view = birth(child(name("Ada", "", "Doe")));
    let with_id = |nid: &str| Person { nid: Some(nid.into()), ..Person::default() };
    view.persons.insert(Role::Mother, with_id("1001"));
    view.persons.insert(Role::Father, with_id("2002"));
    let sent = serde_json::to_value(parents(&view, &mut FieldFaults::default())).unwrap();
    assert_eq!(
        sent,
        json!([{"role": "mother", "national_id": "1001"}, {"role": "father", "national_id": "2002"}])
    );
    view.persons.remove(&Role::Mother);
    let sent = serde_json::to_value(parents(&view, &mut FieldFaults::default())).unwrap();
    assert_eq!(sent, json!([{"role": "father", "national_id": "2002"}]));
    view.persons.insert(Role::Father, with_id(&"9".repeat(65)));
    assert_eq!(unfit(&EventKind::Birth, &view).0, ["parents.father.national_id"]);
}

#[test]
fn an_id_is_sent_without_invisible_characters() {
    for written in [
        "7001112223",
        "\u{feff}7001112223",
        "7001\u{200b}112223",
        "7001112223\u{a0}",
        "7001\u{ad}112223",
        "٧٠٠١١١٢٢٢٣",
    ] {
        let mut faults = FieldFaults::default();
        let subject = death_subject(written, &death(written, "2026-9-5"), latest(), &mut faults).unwrap();
        assert_eq!(
            (subject.national_id.as_str(), subject.date_of_death.as_str()),
            ("7001112223", "2026-09-05")
        );
    }
}

#[test]
fn a_place_and_an_office_are_sent_whole_or_refused() {
    let at = |codes: Vec<String>| {
        let mut view = birth(child(name("Ada", "", "Doe")));
        view.event_details.place = Some(Place { codes, ..Place::default() });
        view
    };
    let levels =
        |count: usize| (0..count).map(|level| format!("ADMIN_STRUCTURE_{level}")).collect::<Vec<_>>();
    assert_eq!(sent(&at(levels(7)))["place_of_birth"], json!(levels(7)));
    assert_eq!(unfit(&EventKind::Birth, &at(levels(13))).0, ["subject.place_of_birth"]);
    assert_eq!(unfit(&EventKind::Birth, &at(vec!["x".repeat(65)])).0, ["subject.place_of_birth"]);
    let long = "x".repeat(65);
    let faults = fitness(&EventKind::Birth, &at(levels(1)), Some(&long), accepted_at()).unwrap_err();
    assert_eq!(faults.invalid, ["registration.office_code"]);
}

#[test]
fn twenty_unfit_births_and_deaths_name_the_field_at_fault() {
    let good = || child(name("Ada", "", "Doe"));
    let parent = |role: Role, nid: &str| {
        let mut view = birth(good());
        view.persons.insert(role, Person { nid: Some(nid.to_owned()), ..Person::default() });
        view
    };
    let named = |first: &str, last: &str| birth(Person { name: Some(name(first, "", last)), ..good() });
    let born = |day: &str| birth(Person { dob: Some(day.to_owned()), ..good() });
    let sex = |sex: &str| birth(Person { gender: Some(sex.to_owned()), ..good() });
    let (invalid, missing) = (true, false);
    for (kind, view, field, fault) in [
        (EventKind::Birth, named("\u{200b}", "\u{feff}"), "subject.name", missing),
        (EventKind::Birth, named("\u{3164}", "\u{2800}"), "subject.name", missing),
        (EventKind::Birth, named("\u{ad}\u{202e}", "\u{fe0f}"), "subject.name", missing),
        (EventKind::Birth, named("\u{e0020}", "\t"), "subject.name", missing),
        (EventKind::Birth, named("Ada\u{0}", "Doe"), "subject.name", invalid),
        (EventKind::Birth, named("Ada\u{1b}[2J", "Doe"), "subject.name", invalid),
        (EventKind::Birth, named(&"👶".repeat(201), ""), "subject.name", invalid),
        (EventKind::Birth, born("32/13/2026"), "subject.date_of_birth", invalid),
        (EventKind::Birth, born("-0026-09-05"), "subject.date_of_birth", invalid),
        (EventKind::Birth, born("+012026-09-05"), "subject.date_of_birth", invalid),
        (EventKind::Birth, born("10000-01-01"), "subject.date_of_birth", invalid),
        (EventKind::Birth, born("2026-W36-6"), "subject.date_of_birth", invalid),
        (EventKind::Birth, born("2026-248"), "subject.date_of_birth", invalid),
        (EventKind::Birth, born("1788566400000"), "subject.date_of_birth", invalid),
        (EventKind::Birth, born("two weeks ago"), "subject.date_of_birth", invalid),
        (EventKind::Birth, sex("M"), "subject.sex", invalid),
        (EventKind::Birth, sex("ወንድ"), "subject.sex", invalid),
        (EventKind::Birth, sex("\u{a0}"), "subject.sex", missing),
        (EventKind::Birth, parent(Role::Mother, &"9".repeat(65)), "parents.mother.national_id", invalid),
        // Present, but neither a text nor a number.
        (EventKind::Birth, parent(Role::Father, ""), "parents.father.national_id", invalid),
        (EventKind::Birth, parent(Role::Father, "\u{200b}"), "parents.father.national_id", invalid),
        (EventKind::Death, death("", "2026-09-05"), "subject.national_id", missing),
        (EventKind::Death, death("\u{200b}", "2026-09-05"), "subject.national_id", invalid),
        (EventKind::Death, death("7001112223", "September"), "subject.date_of_death", invalid),
        (EventKind::Death, death("7001112223", "2026-02-30"), "subject.date_of_death", invalid),
    ] {
        let one = vec![field.to_owned()];
        let expected = if fault { (one, vec![]) } else { (vec![], one) };
        assert_eq!(unfit(&kind, &view), expected, "{field}");
    }
}

#[test]
fn unusual_but_valid_names_are_sent() {
    for (first, last, full) in [
        ("Ada\tMaria", "Doe\n", "Ada Maria Doe"),
        ("می\u{200c}ترا", "", "می\u{200c}ترا"),
        ("ක්\u{200d}රිස්", "", "ක්\u{200d}රිස්"),
        ("E\u{301}lodie", "", "E\u{301}lodie"),
        ("-", "Suharto", "- Suharto"),
        ("\u{200b}", "Suharto", "Suharto"),
        ("Ada", "\u{feff}", "Ada"),
        ("X Æ A-12", "", "X Æ A-12"),
        ("𞤀𞤣𞤢", "", "𞤀𞤣𞤢"),
        (&"👶".repeat(200), "", &"👶".repeat(200)),
    ] {
        assert_eq!(sent(&birth(child(name(first, "", last))))["name"]["full"], full);
    }
}

#[test]
fn an_event_that_is_yet_to_come_is_refused_by_name_and_today_counts_in_every_zone() {
    let faults = |day: &str, at: &str| {
        let at: Timestamp = at.parse().unwrap();
        let born = birth(Person { dob: Some(day.into()), ..child(name("Ada", "", "Doe")) });
        let born = fitness(&EventKind::Birth, &born, None, at).err();
        let died = fitness(&EventKind::Death, &death("1234567890", day), None, at).err();
        (born.map(|faults| faults.to_string()), died.map(|faults| faults.to_string()))
    };
    let refused = (
        Some("in the future: date of birth (subject.date_of_birth)".to_owned()),
        Some("in the future: date of death (subject.date_of_death)".to_owned()),
    );
    let noon = "2026-12-01T09:00:00Z";
    // 2083 is this year in Nepal.
    for day in ["2083-06-19", "2030-01-01", "2027-01-01", "2026-12-02", "2026/12/2", "২০৮৩-০৬-১৯"]
    {
        assert_eq!(faults(day, noon), refused, "{day}");
    }
    for day in ["2026-12-01", "2026-11-30", "2026-12-1T08:59", "2024-02-29", "1999-12-31"] {
        assert_eq!(faults(day, noon), (None, None), "{day}");
    }
    // It is the next day already in Kiribati (UTC+14), and still the day before in Niue (UTC-11).
    assert_eq!(faults("2026-12-02", "2026-12-01T10:00:00Z"), (None, None));
    assert_eq!(faults("2026-12-03", "2026-12-01T23:59:59Z"), refused);
    assert_eq!(faults("2026-11-30", "2026-12-01T10:59:59Z"), (None, None));
}
