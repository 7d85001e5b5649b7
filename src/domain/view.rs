//! The view: the 2–4 KB that the bridge keeps of a registration, in the same shape for every
//! generation of OpenCRVS.
//!
//! Field names are those of the events generation (`child.name.firstname`, `mother.nid`). The FHIR
//! dialect maps its bundle onto them, so that a country's mapping stays valid when the country
//! upgrades.
//!
//! Invariant: a view has no document, attachment, signature, history or location boundary. It is
//! personal data: `Debug` hides it, and it is serialised only to be sealed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The part that a person plays in a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    Child,
    Deceased,
    Mother,
    Father,
    /// The spouse of the deceased.
    Spouse,
    /// The person who reported the event to the registrar.
    Informant,
    Bride,
    Groom,
}

impl Role {
    /// Every role with its name in settings. In the events generation the name is also the prefix
    /// of the person's fields.
    pub const NAMES: [(Self, &'static str); 8] = [
        (Self::Child, "child"),
        (Self::Deceased, "deceased"),
        (Self::Mother, "mother"),
        (Self::Father, "father"),
        (Self::Spouse, "spouse"),
        (Self::Informant, "informant"),
        (Self::Bride, "bride"),
        (Self::Groom, "groom"),
    ];
}

/// A name in one language.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Name {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firstname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub middlename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surname: Option<String>,
}

/// Where a person lives.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    /// Country code as OpenCRVS writes it (ISO alpha-3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Id of the OpenCRVS location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Id of the OpenCRVS location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub district: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    #[serde(rename = "postalCode", skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// Address lines by position, as the country's form fills them; trailing empty ones are
    /// dropped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Administrative codes, widest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Code>,
}

/// A code of the administrative structure, such as `ADMIN_STRUCTURE_AWn3s2RqgAN`.
pub type Code = String;

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// The most complete of the names; of several, the first in the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The language code of `name`, as OpenCRVS wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// The name by language code (`en`, `fr`, …).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, Name>,
    /// Date of birth, `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dob: Option<String>,
    /// Age in years, if the date of birth is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u16>,
    /// Date of death, `YYYY-MM-DD`.
    #[serde(rename = "dateOfDeath", skip_serializing_if = "Option::is_none")]
    pub date_of_death: Option<String>,
    /// `male`, `female`, `other` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gender: Option<String>,
    /// The national ID: the identifier of the type under which the country keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nid: Option<String>,
    /// Every identifier by its type code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub identifiers: BTreeMap<String, String>,
    /// Nationality (ISO alpha-3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nationality: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Relation of the informant to the subject (`MOTHER`, `SPOUSE`, `LEGAL_GUARDIAN`, …).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// Whether the document says that nothing is known of this person.
    #[serde(rename = "detailsNotAvailable", skip_serializing_if = "std::ops::Not::not")]
    pub details_not_available: bool,
    /// The reason why nothing is known of this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The place of the event.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// Id of the OpenCRVS location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The code of the place, such as `HEALTH_FACILITY_pXhz0PLiYZX`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The kind of the place: `HEALTH_FACILITY`, `PRIVATE_HOME`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Administrative codes above the place, widest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Code>,
}

/// The registration office.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Office {
    /// Id of the OpenCRVS location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The code of the office, such as `CRVS_OFFICE_JWMRGwDBXK`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Administrative codes above the office, widest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Code>,
}

/// When and where the event happened.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventDetails {
    /// Date of birth or death, `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// The view of a registration.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    #[serde(flatten)]
    pub persons: BTreeMap<Role, Person>,
    #[serde(rename = "eventDetails")]
    pub event_details: EventDetails,
    pub office: Office,
    /// Answers of the questionnaire by field id (`birth.mother.mother-view-group.motherIdType`):
    /// text, number or boolean.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, serde_json::Value>,
}

impl View {
    /// The person in a role, if the document has details of them.
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
