//! Makes the request to the ID system about an attempt. *record* makes it to decide whether the ID
//! system is asked at all; *send* makes it again and sends it.
//!
//! Invariant: the same attempt, view and settings give the same request, byte for byte.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{Cause, NumberRules, View};
use crate::ledger::Case;
use crate::nid::{Ask, Facts, ask};
use crate::pipeline::stage::StageFault;
use crate::seal::{Field, Sealer};

/// What all requests have in common.
#[derive(Debug, Clone)]
pub struct RequestSettings {
    /// CloudEvents `source`.
    pub source: String,
    /// How long after the acceptance an answer is useful. An earlier expiry of the token shortens
    /// this time.
    pub deadline: Duration,
    /// The rules for registration numbers, and the country's calendar.
    pub numbers: NumberRules,
}

impl RequestSettings {
    /// `expires_at` of the attempt's request.
    pub(super) fn expires_at(&self, case: &Case) -> Timestamp {
        case.request_expires_at(self.deadline)
    }
}

/// Opens the view of an attempt.
pub(super) fn open_view(sealer: &Sealer, case: &Case) -> Result<View, StageFault> {
    let sealed = case.attempt.sealed_view.as_deref().ok_or(StageFault::Message(Cause::Unsealable))?;
    let plain = sealer.open(&case.record.id, Field::View, sealed)?;
    serde_json::from_slice(&plain).map_err(|_| StageFault::Message(Cause::Malformed))
}

/// What to ask about an attempt.
///
/// # Errors
/// The cause to park it for: the ID system was asked about another kind of event of this record, or
/// the record has no registration number.
pub(super) fn ask_about(case: &Case, view: &View, settings: &RequestSettings) -> Result<Ask, Cause> {
    if case.attempt.kind != case.record.kind {
        return Err(Cause::OtherKind);
    }
    let facts = Facts {
        request: case.record.request,
        submission: case.attempt.submission,
        kind: &case.record.kind,
        number: case.record.number.as_ref().ok_or(Cause::NumberTaken)?,
        office: case.record.office.as_deref(),
        accepted_at: case.attempt.accepted_at,
        registered_on: settings.numbers.date_of(case.attempt.stamp, case.attempt.accepted_at),
        expires_at: settings.expires_at(case),
        source: &settings.source,
    };
    Ok(ask(&facts, view))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::Value;

    use super::*;
    use crate::domain::{
        AttemptId, Dialect, EventKind, Name, NumberScope, NumberTemplate, Person, RecordId,
        RegistrationNumber, RequestId, Role, State, TrackingId,
    };
    use crate::ledger::{AttemptRow, RecordRow};

    fn case(stamp: &str, token_expires_at: Option<&str>) -> Case {
        let id = AttemptId::parse("5c1b3f0e-0000-5000-8000-000000000000").unwrap();
        let accepted_at: Timestamp = stamp.parse().unwrap();
        let record = RecordId::parse("r").unwrap();
        Case {
            record: RecordRow {
                request: RequestId::of(&record, &EventKind::Birth),
                id: record,
                dialect: Dialect::Fhir,
                kind: EventKind::Birth,
                tracking_id: TrackingId::parse("B123456").unwrap(),
                office: None,
                number: RegistrationNumber::parse("2026B123456").ok(),
                newest: id,
                answer: None,
                sealed_id: None,
                intent: None,
            },
            attempt: attempt(id, accepted_at, token_expires_at),
        }
    }

    fn asked(case: &Case, zone: &str) -> Value {
        let settings = RequestSettings {
            source: "/source".to_owned(),
            deadline: Duration::from_secs(7 * 24 * 3_600),
            numbers: NumberRules {
                template: NumberTemplate::parse("{tracking_id}").unwrap(),
                unique: NumberScope::default(),
                zone: TimeZone::get(zone).unwrap(),
                tolerance: Duration::from_secs(300),
            },
        };
        let name = Name { firstname: Some("Ada".into()), surname: Some("Doe".into()), ..Name::default() };
        let child = Person {
            name: Some(name),
            dob: Some("2026-01-31".into()),
            gender: Some("female".into()),
            ..Person::default()
        };
        let mut view = View::default();
        view.persons.insert(Role::Child, child);
        let Ok(Ask::Request(request)) = ask_about(case, &view, &settings) else { panic!("no request") };
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn a_request_expires_with_the_token_or_at_the_deadline_whichever_is_first() {
        for (token, expires_at) in [
            (Some("2026-12-03T10:00:00Z"), "2026-12-03T10:00:00Z"),
            (Some("2026-12-31T10:00:00Z"), "2026-12-08T10:00:00Z"),
            (None, "2026-12-08T10:00:00Z"),
        ] {
            let request = asked(&case("2026-12-01T10:00:00Z", token), "UTC");
            assert_eq!(request["data"]["expires_at"], expires_at, "{token:?}");
        }
    }

    #[test]
    fn a_registration_has_its_date_in_the_country() {
        for (zone, date) in [
            ("Pacific/Niue", "2026-12-31"),
            ("UTC", "2027-01-01"),
            ("Pacific/Kiritimati", "2027-01-01"),
            ("America/Bogota", "2026-12-31"),
        ] {
            let request = asked(&case("2027-01-01T00:30:00Z", None), zone);
            assert_eq!(request["data"]["registration"]["registered_on"], date, "{zone}");
        }
    }

    fn attempt(id: AttemptId, stamp: Timestamp, token_expires_at: Option<&str>) -> AttemptRow {
        AttemptRow {
            id,
            kind: EventKind::Birth,
            stamp,
            submission: 1,
            accepted_at: stamp,
            wait: Duration::ZERO,
            action: None,
            token_expires_at: token_expires_at.map(|end| end.parse().unwrap()),
            token_orphaned: false,
            failing: None,
            retries: 0,
            next_try_at: None,
            sealed_view: None,
            sealed_token: None,
            state: State::Received,
            cause: None,
            answer: None,
            reason: None,
            decision: None,
            trace: None,
            recorded_at: stamp,
            published_at: None,
            sent_at: None,
            checked_at: None,
            absent_at: None,
        }
    }
}
