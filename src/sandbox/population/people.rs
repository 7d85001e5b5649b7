//! The people of a declaration: the facts from which the documents of both generations are made.

use fastrand::Rng;

use super::{Declaration, Kind};

const GIVEN_FEMALE: [&str; 24] = [
    "Amara", "Chipo", "Esther", "Fatou", "Grace", "Hawa", "Imani", "Joyce", "Kamaria", "Lindiwe", "Mwila",
    "Nadia", "Ottília", "Precious", "Rudo", "Salma", "Tendai", "Uchenna", "Violet", "Wanjiru", "Yewande",
    "Zainab", "Aïcha", "Bupe",
];
const GIVEN_MALE: [&str; 24] = [
    "Abel", "Bwalya", "Chanda", "Daudi", "Emeka", "Farai", "Gift", "Hassan", "Isaac", "Jabari", "Kofi",
    "Lubinda", "Mumba", "Nelson", "Obi", "Peter", "Quinn", "René", "Simon", "Thabo", "Umar", "Victor",
    "Wycliffe", "Yusuf",
];
const FAMILY: [&str; 32] = [
    "Abdi", "Banda", "Chilufya", "Diallo", "Eze", "Fofana", "Gondwe", "Hakim", "Ilunga", "Juma", "Kapila",
    "Lungu", "Mbewe", "N'Diaye", "Okello", "Phiri", "Quaye", "Rahman", "Sakala", "Tembo", "Usman", "Vundla",
    "Wekesa", "Xaba", "Yeboah", "Zulu", "Mwansa", "Sawadogo", "Kone", "Njoroge", "Traoré", "Were",
];
/// Some of the names in the second language of the country.
const SECOND_LANGUAGE: [(&str, &str); 6] =
    [("আমারা", "বান্দা"), ("সালমা", "রহমান"), ("ইমানি", "জুমা"), ("নাদিয়া", "হাকিম"), ("পিটার", "টেম্বো"), ("গ্রেস", "জুলু")];

/// The role of a person in a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum FamilyRole {
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

impl FamilyRole {
    /// The prefix of section codes (`mother-details`) and of form fields (`mother.name`).
    pub(in crate::sandbox) fn name(self) -> &'static str {
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

    fn is_female(self, declaration: &Declaration) -> bool {
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

/// The facts about a person, from which the documents of both generations are made.
pub(in crate::sandbox) struct FamilyMember {
    pub(in crate::sandbox) given: &'static str,
    /// Empty for most people.
    pub(in crate::sandbox) middle: &'static str,
    pub(in crate::sandbox) family: &'static str,
    /// Given and family name in the second language of the country.
    pub(in crate::sandbox) second_language: Option<(&'static str, &'static str)>,
    /// A date in the format of all dates: `2025-04-22`. `None` for the child of an unfit
    /// declaration.
    pub(in crate::sandbox) born: Option<String>,
    /// `None` for the deceased of an unfit declaration as well.
    pub(in crate::sandbox) died: Option<String>,
    /// `female` or `male`, for the child and the deceased only, because the forms do not ask for
    /// others.
    pub(in crate::sandbox) gender: Option<&'static str>,
    /// Present for everybody but the child, and for most deceased.
    pub(in crate::sandbox) national_id: Option<String>,
}

/// The text on the forms for a father who is not known.
pub(in crate::sandbox) const REASON_OF_ABSENCE: &str = "Father is not known";
/// The only nationality in this country.
pub(in crate::sandbox) const NATIONALITY: &str = "FAR";

fn pick(list: &[&'static str], index: usize) -> &'static str {
    list.get(index % list.len().max(1)).copied().unwrap_or("Nobody")
}

impl Declaration {
    /// Whether the deceased's ID is known. Without it the ID system cannot be asked.
    pub fn deceased_has_national_id(&self) -> bool {
        self.kind == Kind::Death && self.chance(12).f64() < 0.95
    }

    /// The person in this role. `None` for a father who is not known.
    pub(in crate::sandbox) fn member(&self, role: FamilyRole) -> Option<FamilyMember> {
        if role == FamilyRole::Father && self.kind == Kind::Birth && self.chance(11).f64() < 0.15 {
            return None;
        }
        let female = role.is_female(self);
        let mut chance = self.chance(100 + role as u64);
        let given = pick(if female { &GIVEN_FEMALE } else { &GIVEN_MALE }, chance.usize(..24));
        let middle = if chance.f64() < 0.4 { pick(&FAMILY, chance.usize(..32)) } else { "" };
        let family = match role {
            // Parents, children and spouses mostly share a family name.
            FamilyRole::Child
            | FamilyRole::Mother
            | FamilyRole::Father
            | FamilyRole::Deceased
            | FamilyRole::Spouse => pick(&FAMILY, self.chance(99).usize(..32)),
            FamilyRole::Informant
            | FamilyRole::Bride
            | FamilyRole::Groom
            | FamilyRole::WitnessOne
            | FamilyRole::WitnessTwo => pick(&FAMILY, chance.usize(..32)),
        };
        let bilingual = self.chance(14).f64() < 0.3;
        let second_language = if bilingual {
            SECOND_LANGUAGE.get(chance.usize(..SECOND_LANGUAGE.len())).copied()
        } else {
            None
        };
        let dead = role == FamilyRole::Deceased;
        let has_id = role != FamilyRole::Child && (!dead || self.deceased_has_national_id());
        let gender = if female { "female" } else { "male" };
        Some(FamilyMember {
            given,
            middle,
            family,
            second_language,
            born: (role != FamilyRole::Child || !self.is_unfit).then(|| self.birth_date(role)),
            died: (dead && !self.is_unfit).then(|| day_of(2025, &mut self.chance(300))),
            gender: matches!(role, FamilyRole::Child | FamilyRole::Deceased).then_some(gender),
            national_id: has_id.then(|| self.national_id(role)),
        })
    }

    /// The national ID of a person: ten digits, unique, and never one that the simulated ID system
    /// issues.
    fn national_id(&self, role: FamilyRole) -> String {
        let span = 3_900_000_000_u64;
        let slot = self.index.wrapping_mul(10).wrapping_add(role as u64);
        format!("{:010}", 1_000_000_000 + slot.wrapping_mul(7_919) % span)
    }

    /// A date of birth, in a year that is over whenever this runs.
    fn birth_date(&self, role: FamilyRole) -> String {
        let mut chance = self.chance(200 + role as u64);
        let year = match role {
            FamilyRole::Child => 2025,
            FamilyRole::Deceased => chance.u16(1935..1990),
            FamilyRole::Mother | FamilyRole::Father | FamilyRole::Spouse | FamilyRole::Informant => {
                chance.u16(1970..2004)
            }
            FamilyRole::Bride | FamilyRole::Groom | FamilyRole::WitnessOne | FamilyRole::WitnessTwo => {
                chance.u16(1980..2003)
            }
        };
        day_of(year, &mut chance)
    }
}

fn day_of(year: u16, chance: &mut Rng) -> String {
    format!("{year}-{:02}-{:02}", chance.u8(1..=12), chance.u8(1..=28))
}
