//! Locations: two levels of administration, an office and a health facility. Each is part of the
//! one above it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Declaration;

const STATES: [&str; 4] = ["Central", "Sulaka", "Pualula", "Chuminga"];
const DISTRICTS: [&str; 12] = [
    "Ibombo", "Isamba", "Isango", "Itambo", "Irundu", "Embe", "Afue", "Zobwe", "Nsali", "Ama", "Pili", "Ezhi",
];

/// A place of the country. Its id depends only on its name, so that all records share the place.
pub(super) struct Place {
    pub(super) id: String,
    code: String,
    name: String,
}

impl Place {
    fn new(kind: &str, name: &str) -> Self {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{kind}/{name}").as_bytes());
        let code: String = STANDARD.encode(id).chars().filter(char::is_ascii_alphanumeric).take(11).collect();
        Self { id: id.to_string(), code, name: name.to_owned() }
    }
}

impl Declaration {
    fn district_name(&self) -> (&'static str, &'static str) {
        let district = self.chance(20).usize(..DISTRICTS.len());
        let state = STATES.get(district % STATES.len()).copied().unwrap_or("Central");
        (state, DISTRICTS.get(district).copied().unwrap_or("Ibombo"))
    }

    pub(super) fn state(&self) -> Place {
        Place::new("state", self.district_name().0)
    }

    pub(super) fn district(&self) -> Place {
        Place::new("district", self.district_name().1)
    }

    pub(super) fn office(&self) -> Place {
        Place::new("office", &format!("{} District Office", self.district_name().1))
    }

    pub(super) fn facility(&self) -> Place {
        Place::new("facility", &format!("{} Health Post", self.district_name().1))
    }

    pub(super) fn address(&self) -> Value {
        let district = self.district().id;
        let house = self.chance(21).u8(1..200).to_string();
        json!([{
            "type": "PRIMARY_ADDRESS",
            "line": [house, "Main Road", "", "", "", "URBAN", "", "", "", "", "", "", "", "", "", ""],
            "district": district, "state": self.state().id, "country": "FAR",
            "city": self.district_name().1, "postalCode": "52275",
            "extension": [{
                "url": "http://opencrvs.org/specs/extension/part-of",
                "valueReference": {"reference": format!("Location/{district}")}
            }]
        }])
    }

    /// All places of the declaration, widest first.
    pub(super) fn locations(&self) -> Vec<Value> {
        let (state, district) = (self.state(), self.district());
        vec![
            administrative(&state, "0", "STATE"),
            administrative(&district, &state.id, "DISTRICT"),
            building(&self.office(), &district.id, "CRVS_OFFICE"),
            building(&self.facility(), &district.id, "HEALTH_FACILITY"),
        ]
    }
}

fn administrative(place: &Place, part_of: &str, level: &str) -> Value {
    json!({
        "resourceType": "Location", "id": place.id,
        "identifier": [
            {"system": "http://opencrvs.org/specs/id/statistical-code", "value": format!("ADMIN_STRUCTURE_{}", place.code)},
            {"system": "http://opencrvs.org/specs/id/jurisdiction-type", "value": level}
        ],
        "name": place.name, "alias": [place.name], "description": place.code,
        "status": "active", "mode": "instance",
        "partOf": {"reference": format!("Location/{part_of}")},
        "type": {"coding": [{"system": "http://opencrvs.org/specs/location-type", "code": "ADMIN_STRUCTURE"}]},
        "physicalType": {"coding": [{"code": "jdn", "display": "Jurisdiction"}]},
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/location-boundary-geojson",
                "valueAttachment": {"contentType": "application/geo+json", "data": boundary(place)}
            },
            {
                "url": "http://opencrvs.org/specs/id/statistics-total-populations",
                "valueString": "[{\"2022\":60000},{\"2023\":80000}]"
            }
        ]
    })
}

fn building(place: &Place, part_of: &str, kind: &str) -> Value {
    json!({
        "resourceType": "Location", "id": place.id,
        "identifier": [{
            "system": "http://opencrvs.org/specs/id/internal-id", "value": format!("{kind}_{}", place.code)
        }],
        "name": place.name, "alias": [place.name], "status": "active", "mode": "instance",
        "partOf": {"reference": format!("Location/{part_of}")},
        "type": {"coding": [{"system": "http://opencrvs.org/specs/location-type", "code": kind}]},
        "physicalType": {"coding": [{"code": "bu", "display": "Building"}]}
    })
}

/// A boundary of a few kilobytes. In real documents most bytes are boundaries.
fn boundary(place: &Place) -> String {
    let seed = u64::try_from(place.name.len()).unwrap_or_default();
    let mut chance = fastrand::Rng::with_seed(seed);
    let ring: Vec<[f64; 2]> = (0..60).map(|_| [chance.f64() * 20.0, chance.f64() * -15.0]).collect();
    STANDARD.encode(json!({"type": "Polygon", "coordinates": [ring]}).to_string())
}
