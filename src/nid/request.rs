//! Makes a request of the queue contract from a view.
//!
//! Invariant: the request of an attempt is the same text whenever and wherever it is made, so that
//! a repeated request is recognised as such.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::kind::RequestKind;
use super::person::{FieldFaults, Parent, birth_subject, death_subject, is_code, latest_day, parents};
use crate::domain::{EventKind, Reason, ReasonCode, ReasonSource, RegistrationNumber, RequestId, Role, View};

/// What to ask an ID system about a registration.
#[derive(Debug, PartialEq, Eq)]
pub enum Ask {
    Request(Request),
    /// Nothing is asked, because the event, or the person, does not concern the ID system.
    Nothing,
    /// Nothing is asked, because the view lacks what the contract requires, or has it in an invalid
    /// form. The reason names the fields.
    Unfit(Reason),
}

/// What a request is made from, apart from the view.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub request: RequestId,
    /// The number of the submission, from 1.
    pub submission: u32,
    pub kind: &'a EventKind,
    pub number: &'a RegistrationNumber,
    /// The code of the registration office.
    pub office: Option<&'a str>,
    pub accepted_at: Timestamp,
    /// The date of the registration, in the country's time zone.
    pub registered_on: Date,
    /// The time until which an answer can be written to OpenCRVS.
    pub expires_at: Timestamp,
    /// The CloudEvents `source`.
    pub source: &'a str,
}

/// A request, ready to be published. It is personal data: `Debug` shows only its kind.
#[derive(PartialEq, Eq)]
pub struct Request {
    pub kind: RequestKind,
    /// The CloudEvent, as JSON.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({})", self.kind.name)
    }
}

#[derive(Serialize)]
struct CloudEvent<'a, S> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    r#type: &'static str,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a, S>,
}

#[derive(Serialize)]
struct Data<'a, S> {
    submission: u32,
    expires_at: String,
    registration: RegistrationData<'a>,
    subject: S,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<Parent>,
}

#[derive(Serialize)]
struct RegistrationData<'a> {
    number: &'a str,
    registered_on: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    office_code: Option<&'a str>,
}

/// Decides what to ask about a registration.
pub fn ask(facts: &Facts<'_>, view: &View) -> Ask {
    let mut faults = FieldFaults::default();
    let latest = latest_day(facts.accepted_at);
    match facts.kind {
        EventKind::Birth => {
            let subject = birth_subject(view, latest, &mut faults);
            let parents = parents(view, &mut faults);
            check_office(facts.office, &mut faults);
            request(facts, RequestKind::BIRTH, subject, parents, &faults)
        }
        EventKind::Death => {
            // Without the ID of the deceased the ID system cannot tell who has died.
            let Some(id) = view.person(Role::Deceased).and_then(|person| person.nid.as_deref()) else {
                return Ask::Nothing;
            };
            let subject = death_subject(id, view, latest, &mut faults);
            check_office(facts.office, &mut faults);
            request(facts, RequestKind::DEATH, subject, Vec::new(), &faults)
        }
        EventKind::Marriage | EventKind::Other(_) => Ask::Nothing,
    }
}

/// Checks what [`ask`] would find unfit, before there are a number and a submission to ask with.
/// The date of the event lies at most in the day of `accepted_at`, in whichever zone.
///
/// # Errors
/// The fields that the contract requires and the view lacks, or has in an invalid form.
pub fn fitness(
    kind: &EventKind,
    view: &View,
    office: Option<&str>,
    accepted_at: Timestamp,
) -> Result<(), FieldFaults> {
    let latest = latest_day(accepted_at);
    let mut faults = FieldFaults::default();
    match kind {
        EventKind::Birth => {
            birth_subject(view, latest, &mut faults);
            parents(view, &mut faults);
        }
        EventKind::Death => {
            let Some(id) = view.person(Role::Deceased).and_then(|person| person.nid.as_deref()) else {
                return Ok(());
            };
            death_subject(id, view, latest, &mut faults);
        }
        EventKind::Marriage | EventKind::Other(_) => return Ok(()),
    }
    check_office(office, &mut faults);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn check_office(office: Option<&str>, faults: &mut FieldFaults) {
    if let Some(office) = office {
        faults.read("registration.office_code", office, |code| is_code(code).then_some(()));
    }
}

fn request<S: Serialize>(
    facts: &Facts<'_>,
    kind: RequestKind,
    subject: Option<S>,
    parents: Vec<Parent>,
    faults: &FieldFaults,
) -> Ask {
    let Some(subject) = subject.filter(|_| faults.is_empty()) else {
        return Ask::Unfit(reason(faults));
    };
    let event = CloudEvent {
        specversion: "1.0",
        id: facts.request.to_string(),
        source: facts.source,
        r#type: kind.event_type,
        time: facts.accepted_at.to_string(),
        datacontenttype: "application/json",
        data: Data {
            submission: facts.submission,
            expires_at: facts.expires_at.to_string(),
            registration: RegistrationData {
                number: facts.number.as_str(),
                registered_on: facts.registered_on.to_string(),
                office_code: facts.office,
            },
            subject,
            parents,
        },
    };
    match serde_json::to_vec(&event) {
        Ok(body) => Ask::Request(Request { kind, body }),
        // Strings and numbers always serialise. If they ever do not, the attempt is rejected, which
        // operators see.
        Err(_) => {
            Ask::Unfit(Reason { code: ReasonCode::Other, fields: Vec::new(), source: ReasonSource::Bridge })
        }
    }
}

fn reason(faults: &FieldFaults) -> Reason {
    let code = if faults.missing.is_empty() { ReasonCode::InvalidData } else { ReasonCode::MissingData };
    let fields = [faults.missing.as_slice(), &faults.invalid, &faults.future].concat();
    Reason { code, fields, source: ReasonSource::Bridge }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Name, Person, RecordId};
    use crate::nid::REQUEST_SCHEMA;

    fn asked(kind: &EventKind, view: &View) -> Ask {
        let record = RecordId::parse("b3821b1b-0cf8-4bdc-b94e-ecbc9af4a30e").unwrap();
        let number = RegistrationNumber::parse("2026BXXDBIC").unwrap();
        let facts = Facts {
            request: RequestId::of(&record, kind),
            submission: 1,
            kind,
            number: &number,
            office: Some("CRVS_OFFICE_JWMRGwDBXK"),
            accepted_at: "2026-10-23T10:00:00Z".parse().unwrap(),
            registered_on: Date::constant(2026, 10, 23),
            expires_at: "2026-10-30T10:00:00Z".parse().unwrap(),
            source: "/nidbridge",
        };
        ask(&facts, view)
    }

    fn person(firstname: &str) -> Person {
        Person {
            name: Some(Name {
                firstname: Some(firstname.into()),
                middlename: None,
                surname: Some("Doe".into()),
            }),
            dob: Some("2026-01-02".into()),
            gender: Some("female".into()),
            nid: Some("1234567890".into()),
            ..Person::default()
        }
    }

    fn valid(request: &Request) -> serde_json::Value {
        let schema: serde_json::Value = serde_json::from_str(REQUEST_SCHEMA).unwrap();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let body = serde_json::from_slice(&request.body).unwrap();
        assert!(validator.is_valid(&body), "{:?}", validator.iter_errors(&body).collect::<Vec<_>>());
        body
    }

    #[test]
    fn a_birth_is_asked_with_the_mapped_fields_and_nothing_else() {
        let mut view = View::default();
        view.persons.insert(Role::Child, person("Ada"));
        view.persons.insert(Role::Mother, person("Eve"));
        view.persons.insert(Role::Informant, person("Secret"));
        let Ask::Request(request) = asked(&EventKind::Birth, &view) else { panic!("not asked") };
        let body = valid(&request);
        assert_eq!(body["data"]["subject"]["name"]["full"], "Ada Doe");
        assert_eq!(body["data"]["parents"][0]["national_id"], "1234567890");
        let text = body.to_string();
        assert!(!text.contains("Eve") && !text.contains("Secret"), "{text}");
        assert!(body["data"]["subject"].get("national_id").is_none());
    }

    #[test]
    fn a_birth_without_required_fields_is_not_sent_and_the_reason_names_them() {
        let mut view = View::default();
        view.persons.insert(Role::Child, Person { dob: Some("soon".into()), ..Person::default() });
        let Ask::Unfit(reason) = asked(&EventKind::Birth, &view) else { panic!("sent") };
        assert_eq!(reason.code, ReasonCode::MissingData);
        assert_eq!(reason.fields, ["subject.name", "subject.sex", "subject.date_of_birth"]);
    }

    #[test]
    fn a_request_about_a_death_holds_only_the_id_and_is_made_only_if_there_is_one() {
        let mut view = View::default();
        let deceased = Person { date_of_death: Some("2026-10-01".into()), ..person("Ada") };
        view.persons.insert(Role::Deceased, deceased.clone());
        let Ask::Request(request) = asked(&EventKind::Death, &view) else { panic!("not asked") };
        assert!(!valid(&request).to_string().contains("Ada"));
        view.persons.insert(Role::Deceased, Person { nid: None, ..deceased });
        assert_eq!(asked(&EventKind::Death, &view), Ask::Nothing);
    }

    #[test]
    fn the_id_system_is_not_asked_about_a_marriage() {
        assert_eq!(asked(&EventKind::Marriage, &View::default()), Ask::Nothing);
    }
}
