use super::*;
use crate::domain::MappingFault;

fn events(text: &str) -> FieldSources {
    FieldSources::parse(Dialect::Events, text).unwrap()
}

fn forms(forms: &[(&str, &[&str])], dates: &[(&str, &str)]) -> CountryForms {
    let owned = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect();
    let path = |field: &str| FieldPath { field: field.to_owned(), parts: Vec::new() };
    CountryForms {
        fields: forms.iter().map(|(kind, fields)| ((*kind).to_owned(), owned(fields))).collect(),
        dates: dates.iter().map(|(kind, field)| ((*kind).to_owned(), path(field))).collect(),
    }
}

fn missing(sources: &FieldSources, forms: &CountryForms) -> Vec<String> {
    sources.missing(forms).iter().map(ToString::to_string).collect()
}

const CONVENTIONAL: &[&str] = &["child.name", "child.dob", "child.gender"];

#[test]
fn the_defaults_are_read_back_as_they_are_written() {
    for (dialect, text) in [(Dialect::Events, FieldSources::EVENTS), (Dialect::Fhir, FieldSources::FHIR)] {
        let sources = FieldSources::parse(dialect, text).unwrap();
        assert_eq!(FieldSources::parse(dialect, &sources.to_string()).unwrap(), sources);
        for (member, rules) in sources.rules() {
            assert!(!rules.is_empty(), "{member:?}");
        }
    }
}

#[test]
fn a_member_that_the_setting_does_not_name_keeps_its_default() {
    let sources = events("child.name = child.nameEnglish | \"child.name (local)\", mother.nid = none,");
    let text = sources.to_string();
    assert!(text.contains("child.name = child.nameEnglish | \"child.name (local)\""), "{text}");
    assert!(text.contains("child.dob = dateOfEvent | child.dob"), "{text}");
    assert!(text.contains("mother.nid = none") && text.contains("father.nid = father.nid"), "{text}");
    assert_eq!(events(&text), sources);
}

#[test]
fn a_setting_that_cannot_be_read_is_refused_with_its_place() {
    for (dialect, text, at, fault) in [
        (Dialect::Events, "child.nmae = a.b", 1, MappingFault::UnknownMember),
        (Dialect::Events, "child.dateOfDeath = a.b", 1, MappingFault::UnknownMember),
        (Dialect::Fhir, "child.idType = a.b", 1, MappingFault::UnknownMember),
        (Dialect::Events, "child.dob = a, child.dob = b", 16, MappingFault::MemberTwice),
        (Dialect::Events, "child.dob", 10, MappingFault::NoEquals),
        (Dialect::Events, "child.dob = a |", 16, MappingFault::NoSource),
        (Dialect::Events, "child.dob = a; child.name = b", 14, MappingFault::NoEnd),
        (Dialect::Events, "", 1, MappingFault::NoName),
    ] {
        assert_eq!(FieldSources::parse(dialect, text), Err(UnusableMapping { at, fault }), "{text}");
    }
}

#[test]
fn a_required_member_that_no_form_has_is_reported_until_a_setting_names_its_field() {
    let english: &[&str] = &["child.nameEnglish", "child.nameTamil", "child.dob", "child.gender"];
    let country = forms(&[("birth", english)], &[]);
    let fault = "`child.name` is read from `child.name`, which the form of `birth` does not have";
    assert_eq!(missing(&events(FieldSources::EVENTS), &country), [fault]);
    assert_eq!(missing(&events("child.name = child.nameEnglish"), &country), Vec::<String>::new());
    let parts = "child.name.firstname = child.nameEnglish.firstname, child.name.surname = child.nameTamil";
    assert_eq!(missing(&events(parts), &country), Vec::<String>::new());
    let wrong = missing(&events("child.name = child.nameEnglsh"), &country);
    assert_eq!(
        wrong,
        ["`child.name` is read from `child.nameEnglsh`, which the form of `birth` does not have"]
    );
}

#[test]
fn the_date_of_an_event_is_in_the_field_that_its_configuration_names() {
    let death: &[&str] = &["deceased.nid", "deceased.eventDate"];
    let sources = events(FieldSources::EVENTS);
    let undated = forms(&[("birth", CONVENTIONAL), ("death", death)], &[]);
    let fault = "`deceased.dateOfDeath` is read from `dateOfEvent | eventDetails.date`, which the form of `death` does not have";
    assert_eq!(missing(&sources, &undated), [fault]);
    let dated = forms(&[("birth", CONVENTIONAL), ("death", death)], &[("death", "deceased.eventDate")]);
    assert_eq!(missing(&sources, &dated), Vec::<String>::new());
    let set = events("deceased.dateOfDeath = deceased.eventDate");
    assert_eq!(missing(&set, &undated), Vec::<String>::new());
    // An informant is in no form of a kind of its own, so the date of any event will do.
    let informed = events("informant.dob = dateOfEvent, deceased.dateOfDeath = none");
    assert_eq!(
        missing(&informed, &undated),
        ["`informant.dob` is read from `dateOfEvent`, which no form has"]
    );
    assert_eq!(missing(&informed, &dated), Vec::<String>::new());
}

#[test]
fn a_country_may_do_without_a_member_or_a_kind_of_event() {
    let sources = events(FieldSources::EVENTS);
    assert_eq!(missing(&sources, &forms(&[("marriage", &["bride.name"])], &[])), Vec::<String>::new());
    let death = forms(&[("death", &["eventDetails.date"])], &[]);
    let fault = "`deceased.nid` is read from `deceased.nid`, which the form of `death` does not have";
    assert_eq!(missing(&sources, &death), [fault]);
    assert_eq!(missing(&events("deceased.nid = none"), &death), Vec::<String>::new());
    let optional = forms(&[("birth", CONVENTIONAL)], &[]);
    assert_eq!(missing(&sources, &optional), Vec::<String>::new(), "parents' IDs need not be there");
    let set = missing(&events("mother.nid = mother.nin"), &optional);
    assert_eq!(set.len(), 1, "but a field that a setting names has to be: {set:?}");
}

/// Every member that a request must contain, in the form of its kind of event.
#[test]
fn each_required_member_that_a_form_lacks_is_named_and_no_other_one() {
    let birth = ["child.name", "child.dob", "child.gender"];
    let death = ["deceased.nid", "eventDetails.date"];
    let whole = |left_out: &str| {
        let fields = |all: &[&str]| -> Vec<String> {
            all.iter().filter(|field| **field != left_out).map(|field| (*field).to_owned()).collect()
        };
        let (birth, death) = (fields(&birth), fields(&death));
        let [birth, death] = [&birth, &death].map(|form| form.iter().map(String::as_str).collect::<Vec<_>>());
        forms(&[("birth", &birth), ("death", &death)], &[])
    };
    let sources = FieldSources::conventional(Dialect::Events);
    assert_eq!(missing(&sources, &whole("none")), Vec::<String>::new());
    for (field, member, kind) in [
        ("child.name", "child.name", "birth"),
        ("child.dob", "child.dob", "birth"),
        ("child.gender", "child.gender", "birth"),
        ("deceased.nid", "deceased.nid", "death"),
        ("eventDetails.date", "deceased.dateOfDeath", "death"),
    ] {
        let told = missing(&sources, &whole(field));
        let [told] = told.as_slice() else { panic!("{field}: {told:?}") };
        assert!(told.starts_with(&format!("`{member}` ")) && told.contains(&format!("`{kind}`")), "{told}");
        // It is found again under the name that the setting has for it, and in a part of a field.
        for setting in ["x.other", "x.other.part", "other", "\"x other\""] {
            let mut forms = whole(field);
            let id = setting.trim_matches('"').trim_end_matches(".part");
            forms.fields.get_mut(kind).unwrap().insert(id.to_owned());
            assert_eq!(
                missing(&events(&format!("{member} = {setting}")), &forms),
                Vec::<String>::new(),
                "{setting}"
            );
        }
        assert_eq!(missing(&events(&format!("{member} = none")), &whole(field)), Vec::<String>::new());
    }
}
