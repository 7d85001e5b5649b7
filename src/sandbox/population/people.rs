//! Patients and related persons, as the forms of a country fill them.

use serde_json::{Value, json};

use super::{Declaration, Kind};

const GIVEN_FEMALE: [&str; 24] = [
    "Amara",
    "Chipo",
    "Esther",
    "Fatou",
    "Grace",
    "Hawa",
    "Imani",
    "Joyce",
    "Kamaria",
    "Lindiwe",
    "Mwila",
    "Nadia",
    "Ott\u{ed}lia",
    "Precious",
    "Rudo",
    "Salma",
    "Tendai",
    "Uchenna",
    "Violet",
    "Wanjiru",
    "Yewande",
    "Zainab",
    "Aïcha",
    "Bupe",
];
const GIVEN_MALE: [&str; 24] = [
    "Abel", "Bwalya", "Chanda", "Daudi", "Emeka", "Farai", "Gift", "Hassan", "Isaac", "Jabari", "Kofi",
    "Lubinda", "Mumba", "Nelson", "Obi", "Peter", "Quinn", "René", "Simon", "Thabo", "Umar", "Victor",
    "Wycliffe", "Yusuf",
];
const FAMILY: [&str; 32] = [
    "Abdi",
    "Banda",
    "Chilufya",
    "Diallo",
    "Eze",
    "Fofana",
    "Gondwe",
    "Hakim",
    "Ilunga",
    "Juma",
    "Kapila",
    "Lungu",
    "Mbewe",
    "N'Diaye",
    "Okello",
    "Phiri",
    "Quaye",
    "Rahman",
    "Sakala",
    "Tembo",
    "Usman",
    "Vundla",
    "Wekesa",
    "Xaba",
    "Yeboah",
    "Zulu",
    "Mwansa",
    "Ouédraogo",
    "Kone",
    "Njoroge",
    "Traoré",
    "Were",
];
/// What the same names look like in the second language of the country.
const SECOND_LANGUAGE: [(&str, &str); 6] =
    [("আমারা", "বান্দা"), ("সালমা", "রহমান"), ("ইমানি", "জুমা"), ("নাদিয়া", "হাকিম"), ("পিটার", "টেম্বো"), ("গ্রেস", "জুলু")];

/// The people of a declaration, by the part that they play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Child,
    Deceased,
    Mother,
    Father,
    Spouse,
    Informant,
    Bride,
    Groom,
    WitnessOne,
    WitnessTwo,
}

impl Part {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Child => "child",
            Self::Deceased => "deceased",
            Self::Mother => "mother",
            Self::Father => "father",
            Self::Spouse => "spouse",
            Self::Informant => "informant",
            Self::Bride => "bride",
            Self::Groom => "groom",
            Self::WitnessOne => "witness-one",
            Self::WitnessTwo => "witness-two",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Child => "Child details",
            Self::Deceased => "Deceased details",
            Self::Mother => "Mother's details",
            Self::Father => "Father's details",
            Self::Spouse => "Spouse's details",
            Self::Informant => "Informant's details",
            Self::Bride => "Bride's details",
            Self::Groom => "Groom's details",
            Self::WitnessOne => "Witness one's details",
            Self::WitnessTwo => "Witness two's details",
        }
    }

    fn female(self, declaration: &Declaration) -> bool {
        match self {
            Self::Mother | Self::Bride => true,
            Self::Father | Self::Groom => false,
            Self::Child | Self::Deceased => declaration.chance(1).bool(),
            Self::Spouse => !declaration.chance(1).bool(),
            Self::Informant | Self::WitnessOne | Self::WitnessTwo => {
                declaration.chance(self as u64 + 2).bool()
            }
        }
    }
}

fn pick<'a>(list: &[&'a str], index: usize) -> &'a str {
    list.get(index % list.len().max(1)).copied().unwrap_or("Nobody")
}

impl Declaration {
    /// Whether the birth's father is not known.
    pub(super) fn father_is_absent(&self) -> bool {
        self.kind == Kind::Birth && self.chance(11).f64() < 0.15
    }

    /// Whether the deceased's ID is known; without one the ID system cannot be asked.
    pub fn deceased_has_national_id(&self) -> bool {
        self.kind == Kind::Death && self.chance(12).f64() < 0.95
    }

    /// The national ID of one of the people: ten digits, nobody else's, never one that the simulated ID system issues.
    pub(super) fn national_id(&self, part: Part) -> String {
        let span = 3_900_000_000_u64;
        let slot = self.index.wrapping_mul(10).wrapping_add(part as u64);
        format!("{:010}", 1_000_000_000 + slot.wrapping_mul(7_919) % span)
    }

    fn names(&self, part: Part) -> Value {
        let female = part.female(self);
        let mut chance = self.chance(100 + part as u64);
        let given = pick(if female { &GIVEN_FEMALE } else { &GIVEN_MALE }, chance.usize(..24));
        let middle = if chance.f64() < 0.4 { pick(&FAMILY, chance.usize(..32)) } else { "" };
        let family = match part {
            // parents and children, husbands and wives mostly share a name
            Part::Child | Part::Mother | Part::Father | Part::Deceased | Part::Spouse => {
                pick(&FAMILY, self.chance(99).usize(..32))
            }
            Part::Informant | Part::Bride | Part::Groom | Part::WitnessOne | Part::WitnessTwo => {
                pick(&FAMILY, chance.usize(..32))
            }
        };
        // documents that are older than the 1.7 upgrade still hold the family name as a list
        let family = if self.chance(13).f64() < 0.2 { json!([family]) } else { json!(family) };
        let mut names = vec![json!({"use": "en", "given": [given, middle], "family": family})];
        if self.chance(14).f64() < 0.3 {
            let (given, family) =
                SECOND_LANGUAGE.get(chance.usize(..SECOND_LANGUAGE.len())).copied().unwrap_or(("আমারা", "বান্দা"));
            names.push(json!({"use": "bn", "given": [given, ""], "family": family}));
        }
        Value::Array(names)
    }

    fn date(&self, part: Part) -> String {
        let mut chance = self.chance(200 + part as u64);
        let year = match part {
            Part::Child => 2025,
            Part::Deceased => chance.u16(1935..1990),
            Part::Mother | Part::Father | Part::Spouse | Part::Informant => chance.u16(1970..2004),
            Part::Bride | Part::Groom | Part::WitnessOne | Part::WitnessTwo => chance.u16(1980..2003),
        };
        format!("{year}-{:02}-{:02}", chance.u8(1..=12), chance.u8(1..=28))
    }

    /// One of the people as a Patient.
    pub(super) fn patient(&self, part: Part) -> Value {
        let id = self.part(part.name());
        if part == Part::Father && self.father_is_absent() {
            return json!({
                "resourceType": "Patient", "id": id, "active": false, "name": [],
                "extension": [{
                    "url": "http://opencrvs.org/specs/extension/reason-not-applying",
                    "valueString": "Father is not known"
                }]
            });
        }
        let mut patient = json!({
            "resourceType": "Patient", "id": id, "active": true,
            "name": self.names(part), "birthDate": self.date(part)
        });
        let Some(fields) = patient.as_object_mut() else { return patient };
        if part == Part::Child {
            fields.insert("extension".to_owned(), json!([]));
        } else {
            fields.insert("extension".to_owned(), self.adult_extensions());
            fields.insert("address".to_owned(), self.address());
        }
        if part != Part::Child && (part != Part::Deceased || self.deceased_has_national_id()) {
            fields
                .insert("identifier".to_owned(), json!([identifier("NATIONAL_ID", &self.national_id(part))]));
        }
        if matches!(part, Part::Child | Part::Deceased) {
            let gender = if part.female(self) { "female" } else { "male" };
            fields.insert("gender".to_owned(), json!(gender));
        }
        if part == Part::Deceased {
            let mut chance = self.chance(300);
            let on = format!("2025-{:02}-{:02}", chance.u8(1..=12), chance.u8(1..=28));
            fields.insert("deceasedBoolean".to_owned(), json!(true));
            fields.insert("deceasedDateTime".to_owned(), json!(on));
        }
        patient
    }

    fn adult_extensions(&self) -> Value {
        json!([
            {"url": "http://hl7.org/fhir/StructureDefinition/patient-nationality", "extension": [
                {"url": "code", "valueCodeableConcept": {"coding": [{"system": "urn:iso:std:iso:3166", "code": "FAR"}]}},
                {"url": "period", "valuePeriod": {"start": "", "end": ""}}
            ]},
            {"url": "http://opencrvs.org/specs/extension/educational-attainment", "valueString": "SECONDARY_ISCED_3"}
        ])
    }
}

/// An identifier of a Patient.
pub(super) fn identifier(code: &str, value: &str) -> Value {
    json!({
        "value": value,
        "type": {"coding": [{"system": "http://opencrvs.org/specs/identifier-type", "code": code}]}
    })
}
