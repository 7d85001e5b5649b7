//! Reads a submission of a record, with the person that the event is about (GraphQL, 1.7.0–1.9.15).
//!
//! The gateway joins the given names of a name into one text, and the family names into another
//! one. `fetchRegistration` writes nothing and takes the token of any record.
//!
//! Source: `gateway` of opencrvs-core, v1.7.0–v1.9.15 (schema, and the resolvers of `HumanName`).
//!
//! Invariant: this module only reads.

use secrecy::SecretString;
use serde_json::{Value, json};

use super::gateway::{Gateway, fetched_record, timestamp};
use crate::domain::{EventKind, FullName, Identity, RecordId, RecordState};
use crate::opencrvs::fault::OpencrvsFault;

const SUBMISSION: &str = "id registration { trackingId registrationNumber status { type timestamp } }";
const CHILD: &str = "... on BirthRegistration { child { name { firstNames familyName } birthDate } }";
const DECEASED: &str = "... on DeathRegistration { deceased { name { firstNames familyName } birthDate \
     identifier { id type } } }";

/// A record with its submissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRecord {
    pub status: RecordState,
    /// When the record got this status.
    pub since: jiff::Timestamp,
    pub tracking_id: Option<String>,
    /// The registration number, if the record is registered.
    pub number: Option<String>,
    /// The times at which the record began to wait for an answer.
    pub waited_since: Vec<jiff::Timestamp>,
    /// The person that the event is about, if OpenCRVS gives one.
    pub person: Option<Identity>,
}

impl Gateway {
    /// Reads a record with its submissions. Asks for the person only where the ID system may be
    /// asked about one, and leaves the person out if this release does not know the fields.
    /// `identifier_type` is the type under which OpenCRVS keeps the national ID.
    ///
    /// # Errors
    /// [`OpencrvsFault`].
    pub async fn find(
        &self,
        token: &SecretString,
        record: &RecordId,
        kind: &EventKind,
        identifier_type: &str,
    ) -> Result<FoundRecord, OpencrvsFault> {
        let person = match kind {
            EventKind::Birth => CHILD,
            EventKind::Death => DECEASED,
            EventKind::Marriage | EventKind::Other(_) => "",
        };
        let id = json!({ "id": record.as_str() });
        let data = match self.call(token, &query(person), id.clone()).await {
            Err(OpencrvsFault::Contract) if !person.is_empty() => self.call(token, &query(""), id).await?,
            result => result?,
        };
        found_record(&data, identifier_type).ok_or(OpencrvsFault::Unreadable)
    }
}

fn query(person: &str) -> String {
    format!("query ($id: ID!) {{ fetchRegistration(id: $id) {{ {SUBMISSION} {person} }} }}")
}

fn found_record(data: &Value, identifier_type: &str) -> Option<FoundRecord> {
    let fetched = fetched_record(data)?;
    let found = data.get("fetchRegistration")?;
    let rows = found.pointer("/registration/status")?.as_array()?;
    let waiting =
        rows.iter().filter(|row| row.get("type").and_then(Value::as_str) == Some("WAITING_VALIDATION"));
    let person = found.get("child").or_else(|| found.get("deceased")).filter(|person| !person.is_null());
    Some(FoundRecord {
        status: fetched.status,
        since: fetched.since,
        tracking_id: found.pointer("/registration/trackingId").and_then(Value::as_str).map(str::to_owned),
        number: fetched.number,
        waited_since: waiting.filter_map(|row| timestamp(row.get("timestamp")?)).collect(),
        person: person.map(|person| identity(person, identifier_type)),
    })
}

fn identity(person: &Value, identifier_type: &str) -> Identity {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let names = person.get("name").and_then(Value::as_array).into_iter().flatten();
    let names = names
        .map(|name| FullName { given: text(name, "firstNames"), family: text(name, "familyName") })
        .filter(|name| *name != FullName::default());
    let given = |text: String| (!text.is_empty()).then_some(text);
    let identifiers = person.get("identifier").and_then(Value::as_array).into_iter().flatten();
    // As in the document: of several with one type, the last one counts.
    let mut national_ids = identifiers.rev().filter(|one| text(one, "type") == identifier_type);
    Identity {
        names: names.collect(),
        born: given(text(person, "birthDate")),
        national_id: national_ids.find_map(|one| given(text(one, "id").trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opencrvs::bare_server::server;

    #[test]
    fn a_record_is_found_with_every_time_at_which_it_waited_and_with_its_person() {
        let data = json!({ "fetchRegistration": {
            "id": "r",
            "registration": { "trackingId": "B123456", "registrationNumber": null, "status": [
                { "type": "REJECTED", "timestamp": "2026-11-30T10:00:03.000Z" },
                { "type": "WAITING_VALIDATION", "timestamp": "2026-11-30T10:00:02.000Z" },
                { "type": "DECLARED", "timestamp": "2026-11-30T10:00:01.000Z" },
                { "type": "WAITING_VALIDATION", "timestamp": "1796040000000" }
            ] },
            "child": { "birthDate": "2026-09-05", "name": [
                { "firstNames": "Ada Maria", "familyName": "Doe" }, { "firstNames": "", "familyName": null }
            ] }
        } });
        let found = found_record(&data, "NATIONAL_ID").unwrap();
        assert_eq!((found.status, found.number.as_deref()), (RecordState::MovedOn, None));
        assert_eq!(found.tracking_id.as_deref(), Some("B123456"));
        let waited: Vec<i64> = found.waited_since.iter().map(|at| at.as_millisecond()).collect();
        assert_eq!(waited, [1_796_032_802_000, 1_796_040_000_000]);
        let person = found.person.unwrap();
        assert_eq!(person.names, [FullName { given: "Ada Maria".into(), family: "Doe".into() }]);
        assert_eq!(person.born.as_deref(), Some("2026-09-05"));
    }

    #[test]
    fn a_record_without_a_person_is_found_as_well() {
        let status = json!([{ "type": "WAITING_VALIDATION", "timestamp": "2026-11-30T10:00:02.000Z" }]);
        let data = json!({ "fetchRegistration": { "registration": { "status": status }, "child": null } });
        assert_eq!(found_record(&data, "NATIONAL_ID").unwrap().person, None);
        assert!(found_record(&json!({ "fetchRegistration": null }), "NATIONAL_ID").is_none());
    }

    #[test]
    fn a_deceased_person_is_found_with_the_identifier_of_the_countrys_type() {
        let of = |identifier_type, identifiers: &Value| {
            identity(&json!({ "name": null, "identifier": identifiers }), identifier_type).national_id
        };
        let both = json!([{ "id": "P1", "type": "PASSPORT" }, { "id": " 12 ", "type": "NATIONAL_ID" }]);
        assert_eq!(of("NATIONAL_ID", &both).as_deref(), Some("12"));
        assert_eq!(of("PASSPORT", &both).as_deref(), Some("P1"));
        assert_eq!(of("NIN", &both), None);
        assert_eq!(of("NATIONAL_ID", &json!([{ "id": null, "type": "NATIONAL_ID" }])), None);
        assert_eq!(of("NATIONAL_ID", &Value::Null), None);
    }

    #[tokio::test]
    async fn the_person_is_left_out_only_if_this_release_does_not_know_the_fields() {
        let refused = json!({ "errors": [{ "message": "Cannot query field", "extensions": { "code": "GRAPHQL_VALIDATION_FAILED" } }] });
        let status = json!([{ "type": "WAITING_VALIDATION", "timestamp": "2026-11-30T10:00:02.000Z" }]);
        let found = json!({ "data": { "fetchRegistration": { "registration": { "status": status } } } });
        let (token, record) = (SecretString::from("t"), RecordId::parse("r").unwrap());
        let asks =
            |request: &str, text: &str| request.contains(text) && request.contains("registrationNumber");
        for (kind, person) in [(EventKind::Birth, "child {"), (EventKind::Death, "deceased {")] {
            let server = server(&[(200, refused.to_string()), (200, found.to_string())]).await;
            let gateway = Gateway::new(&server.settings()).unwrap();
            let found = gateway.find(&token, &record, &kind, "NATIONAL_ID").await.unwrap();
            assert_eq!((found.status, found.person), (RecordState::Waiting, None));
            let requests = server.requests();
            assert_eq!(requests.len(), 2);
            assert!(asks(&requests[0], person) && !asks(&requests[1], person), "{requests:?}");
        }
        let server = server(&[(200, refused.to_string()), (200, found.to_string())]).await;
        let gateway = Gateway::new(&server.settings()).unwrap();
        let marriage = gateway.find(&token, &record, &EventKind::Marriage, "NATIONAL_ID").await;
        assert_eq!(marriage, Err(OpencrvsFault::Contract));
        assert_eq!(server.requests().len(), 1, "there is nothing to leave out");
    }
}
