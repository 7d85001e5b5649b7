//! What the ID system should be asked about a person, and what should be written to the record.
//!
//! Wire source: the queue contract (`request.v1.json`), and the fields of the forms.
//!
//! Invariant: everything here comes from the facts of the population. No code of the bridge is
//! used, so that an error in the bridge's mapping cannot hide itself.

use serde_json::{Map, Value, json};

use super::people::FamilyRole;
use super::{Declaration, Kind};

impl Declaration {
    /// The members `subject`, `parents` and `office_code` of a request about this declaration, with
    /// the given name that the registrar corrected. Without `with_places`, the document names no
    /// places. `None`: the ID system is not to be asked.
    pub(in crate::sandbox) fn request(&self, corrected: Option<&str>, with_places: bool) -> Option<Value> {
        let places = || json!([self.state().statistical_code(), self.district().statistical_code()]);
        let mut request = Map::new();
        let subject = match self.kind {
            _ if self.is_unfit => return None,
            Kind::Birth => {
                let child = self.member(FamilyRole::Child)?;
                let first = corrected.unwrap_or(child.given);
                let given = [first, child.middle].join(" ").trim().to_owned();
                let name = json!({
                    "full": format!("{given} {}", child.family), "given": given, "family": child.family
                });
                request.insert("parents".to_owned(), self.parents());
                let mut subject = Map::from_iter([
                    ("name".to_owned(), name),
                    ("date_of_birth".to_owned(), json!(child.born)),
                    ("sex".to_owned(), json!(child.gender)),
                ]);
                subject.extend(with_places.then(|| ("place_of_birth".to_owned(), places())));
                Value::Object(subject)
            }
            Kind::Death => {
                let deceased = self.member(FamilyRole::Deceased)?;
                json!({ "national_id": deceased.national_id?, "date_of_death": deceased.died })
            }
            Kind::Marriage => return None,
        };
        request.insert("subject".to_owned(), subject);
        request.extend(
            with_places.then(|| ("office_code".to_owned(), json!(self.office().internal_id("CRVS_OFFICE")))),
        );
        Some(Value::Object(request))
    }

    /// The parents whose IDs are known, the mother first.
    fn parents(&self) -> Value {
        let roles = [FamilyRole::Mother, FamilyRole::Father];
        let parent = |role: FamilyRole| {
            let id = self.member(role)?.national_id?;
            Some(json!({ "role": role.name(), "national_id": id }))
        };
        roles.into_iter().filter_map(parent).collect()
    }
}
