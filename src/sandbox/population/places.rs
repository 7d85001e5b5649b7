//! Locations: two levels of administration, an office and a health facility. Each is part of the
//! one above it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Declaration;
use super::template::Templates;
use crate::sandbox::json::with;

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

    /// The code of an area, as documents have it.
    pub(super) fn statistical_code(&self) -> String {
        format!("ADMIN_STRUCTURE_{}", self.code)
    }

    /// The code of a building of this kind, as documents have it.
    pub(super) fn internal_id(&self, kind: &str) -> String {
        format!("{kind}_{}", self.code)
    }

    fn facts(&self, part_of: &str, level: &str) -> Value {
        json!({"id": self.id, "code": self.code, "name": self.name, "part-of": part_of, "level": level})
    }
}

impl Declaration {
    pub(super) fn district_name(&self) -> (&'static str, &'static str) {
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
}

impl Templates<'_> {
    /// All places of the declaration, widest first.
    pub(super) fn locations(&self) -> [Value; 4] {
        let (state, district) = (self.family.state(), self.family.district());
        let area = |place: &Place, part_of: &str, level: &str| {
            let boundary = json!({"boundary": boundary(place)});
            self.location("administrative", &with(place.facts(part_of, level), boundary))
        };
        let building =
            |place: &Place, level: &str| self.location("building", &place.facts(&district.id, level));
        [
            area(&state, "0", "STATE"),
            area(&district, &state.id, "DISTRICT"),
            building(&self.family.office(), "CRVS_OFFICE"),
            building(&self.family.facility(), "HEALTH_FACILITY"),
        ]
    }

    fn location(&self, template: &str, own: &Value) -> Value {
        with(self.fill("location", own), self.fill(template, own))
    }
}

/// A boundary of a few kilobytes. In real documents most bytes are boundaries.
fn boundary(place: &Place) -> String {
    let seed = u64::try_from(place.name.len()).unwrap_or_default();
    let mut chance = fastrand::Rng::with_seed(seed);
    let ring: Vec<[f64; 2]> = (0..60).map(|_| [chance.f64() * 20.0, chance.f64() * -15.0]).collect();
    STANDARD.encode(json!({"type": "Polygon", "coordinates": [ring]}).to_string())
}
