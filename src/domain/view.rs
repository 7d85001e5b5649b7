//! The view: what of a registration the bridge keeps, 2–4 KB, the same shape for every generation of OpenCRVS.
//!
//! Field names are those of the events generation (`child.name.firstname`, `mother.nid`), which the FHIR dialect maps
//! its bundle onto, so that a country's mapping survives its upgrade.
//!
//! Invariant: no document, attachment, signature, geography or history is in it. It is personal data: `Debug` shows
//! nothing of it, and it is serialised only to be sealed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The part that a person plays in a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Who was born.
    Child,
    /// Who died.
    Deceased,
    /// The mother.
    Mother,
    /// The father.
    Father,
    /// The spouse of the deceased.
    Spouse,
    /// Who told the registrar.
    Informant,
    /// The bride.
    Bride,
    /// The groom.
    Groom,
}

/// A name in one language.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Name {
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firstname: Option<String>,
    /// Middle name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub middlename: Option<String>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surname: Option<String>,
}

/// Where a person lives. Ids are those of OpenCRVS locations; `codes` are the administrative codes, widest first.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    /// Country code as OpenCRVS writes it (ISO alpha-3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Id of the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Id of the district.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub district: Option<String>,
    /// City.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Postal code.
    #[serde(rename = "postalCode", skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// Positional lines, as the country's form fills them; trailing empty ones are dropped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Administrative codes, widest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Code>,
}

/// A code of the administrative structure, such as `ADMIN_STRUCTURE_AWn3s2RqgAN`.
pub type Code = String;

/// A person.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// The name in the first language of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The name by language code (`en`, `fr`, …).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, Name>,
    /// Date of birth, `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dob: Option<String>,
    /// Age in years, where the date of birth is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u16>,
    /// Date of death, `YYYY-MM-DD`.
    #[serde(rename = "dateOfDeath", skip_serializing_if = "Option::is_none")]
    pub date_of_death: Option<String>,
    /// `male`, `female`, `other` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gender: Option<String>,
    /// The national ID (identifier type `NATIONAL_ID`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nid: Option<String>,
    /// Every identifier by its type code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub identifiers: BTreeMap<String, String>,
    /// Nationality (ISO alpha-3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nationality: Option<String>,
    /// Where the person lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// What the informant is to the subject (`MOTHER`, `SPOUSE`, `LEGAL_GUARDIAN`, …).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// Nothing is known of this person.
    #[serde(rename = "detailsNotAvailable", skip_serializing_if = "std::ops::Not::not")]
    pub details_not_available: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A place that the document names.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// Its id in OpenCRVS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its code, such as `HEALTH_FACILITY_pXhz0PLiYZX`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Its type (`HEALTH_FACILITY`, `PRIVATE_HOME`, …).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The administrative codes above it, widest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Code>,
}

/// The office that registers.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Office {
    /// Its id in OpenCRVS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its code, such as `CRVS_OFFICE_JWMRGwDBXK`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The administrative codes above it, widest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Code>,
}

/// When and where it happened.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventDetails {
    /// When: the date of birth or death, `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// The view of a registration.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    /// The persons, by the part they play.
    #[serde(flatten)]
    pub persons: BTreeMap<Role, Person>,
    /// When and where.
    #[serde(rename = "eventDetails")]
    pub event_details: EventDetails,
    /// Who registers.
    pub office: Office,
    /// Answers of the questionnaire by their field id (`birth.mother.mother-view-group.motherIdType`): text, number or
    /// truth value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, serde_json::Value>,
}

impl View {
    /// The person in a role, if the document says anything of them.
    pub fn person(&self, role: Role) -> Option<&Person> {
        self.persons.get(&role).filter(|person| !person.details_not_available)
    }
}

macro_rules! hidden {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(hidden)"))
            }
        }
    )*};
}
hidden!(View, Person, Name, Address, Place, Office, EventDetails);
