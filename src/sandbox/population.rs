//! The people of the simulated country: an endless, seeded sequence of births, deaths and
//! marriages, no two of them alike.
//!
//! Invariant: the same seed and index make the same declaration. The documents of two attempts
//! differ only in their time, their history and what the registrar corrected.

mod bundle;
mod people;
mod places;
mod request;
mod template;

use clap::Parser;
use fastrand::Rng;
use uuid::Uuid;

pub use bundle::{AttemptFacts, Earlier, correct_name};
pub(super) use people::{FamilyRole, NATIONALITY, REASON_OF_ABSENCE};

use super::random::Sequence;

/// The event that was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Birth,
    Death,
    Marriage,
}

impl Kind {
    /// The kind as documents of OpenCRVS write it: `BIRTH`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Birth => "BIRTH",
            Self::Death => "DEATH",
            Self::Marriage => "MARRIAGE",
        }
    }

    /// The kind as code systems and sections write it: `birth`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Birth => "birth",
            Self::Death => "death",
            Self::Marriage => "marriage",
        }
    }

    /// Parses [`Kind::code`] or [`Kind::name`], in upper or lower case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Birth, Self::Death, Self::Marriage]
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(text))
    }
}

/// How a document came about inside OpenCRVS. The two ways lead to different documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Declared by somebody who may register: the document is as the client sent it.
    Create,
    /// Declared earlier and registered now: the document is read back from the database, with
    /// histories and internal keys.
    Register,
}

/// The mix of a population, as shares from 0 to 1. All other declarations are births.
#[derive(Debug, Clone, Copy, PartialEq, Parser)]
pub struct Mix {
    /// The share of deaths.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    pub deaths: f64,
    /// The share of marriages.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    pub marriages: f64,
    /// The share of documents in the [`Shape::Register`] form.
    #[arg(skip = 0.5)]
    pub register_path: f64,
    /// The share of births without a date of birth, and of deaths without a date of death.
    #[arg(skip)]
    pub unfit: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self::parse_from(["mix"])
    }
}

/// One event of one family, as declared before the first submission.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// Position in the sequence.
    pub index: u64,
    /// The record's id in OpenCRVS (`Composition.id`).
    pub record: String,
    /// The tracking id of the family: `B`, `D` or `M`, then six characters from `A`–`Z` and
    /// `0`–`9`.
    pub tracking_id: String,
    pub kind: Kind,
    pub shape: Shape,
    /// Whether the date of birth or death is missing, so that the ID system cannot be asked.
    pub is_unfit: bool,
    pub(super) seed: u64,
}

/// The sequence of declarations.
#[derive(Debug, Clone)]
pub struct Population {
    seed: u64,
    mix: Mix,
    next: u64,
}

const TRACKING_IDS: u64 = 36 * 36 * 36 * 36 * 36 * 36;
/// Shares no factor with 36, so that multiplying by it visits every tracking id exactly once.
const TRACKING_STEP: u64 = 1_000_000_007;

impl Population {
    /// A sequence that starts at index 0.
    pub fn new(seed: u64, mix: Mix) -> Self {
        Self { seed, mix, next: 0 }
    }

    /// The declaration at an index.
    pub fn declaration(&self, index: u64) -> Declaration {
        let position = Sequence::KIND.at(self.seed, index);
        let kind = if position < self.mix.marriages {
            Kind::Marriage
        } else if position < self.mix.marriages + self.mix.deaths {
            Kind::Death
        } else {
            Kind::Birth
        };
        let shape = if Sequence::SHAPE.at(self.seed, index) < self.mix.register_path {
            Shape::Register
        } else {
            Shape::Create
        };
        let seed = Rng::with_seed(self.seed.rotate_left(17) ^ index).u64(..);
        let declaration = Declaration {
            index,
            record: random_uuid(&mut Rng::with_seed(seed)).to_string(),
            tracking_id: tracking_id(kind, self.seed, index),
            kind,
            shape,
            is_unfit: false,
            seed,
        };
        let is_asked = kind == Kind::Birth || declaration.deceased_has_national_id();
        let is_unfit = is_asked && Sequence::UNFIT.at(self.seed, index) < self.mix.unfit;
        Declaration { is_unfit, ..declaration }
    }
}

impl Iterator for Population {
    type Item = Declaration;

    fn next(&mut self) -> Option<Declaration> {
        let index = self.next;
        self.next += 1;
        Some(self.declaration(index))
    }
}

impl Declaration {
    /// The id of a resource of this record. It is the same in every attempt.
    pub(super) fn part(&self, name: &str) -> String {
        Uuid::new_v5(&Uuid::from_u128(u128::from(self.seed)), name.as_bytes()).to_string()
    }

    /// The random generator for one detail of this record. It is the same in every attempt.
    pub(super) fn chance(&self, salt: u64) -> Rng {
        Rng::with_seed(self.seed.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

fn random_uuid(chance: &mut Rng) -> Uuid {
    uuid::Builder::from_random_bytes(chance.u128(..).to_be_bytes()).into_uuid()
}

fn tracking_id(kind: Kind, seed: u64, index: u64) -> String {
    let start = Rng::with_seed(seed).u64(..TRACKING_IDS);
    let mut rest = (start + (index % TRACKING_IDS) * TRACKING_STEP) % TRACKING_IDS;
    let mut text = String::from(match kind {
        Kind::Birth => 'B',
        Kind::Death => 'D',
        Kind::Marriage => 'M',
    });
    for _ in 0..6 {
        let digit = u32::try_from(rest % 36).unwrap_or_default();
        text.push(char::from_digit(digit, 36).unwrap_or('0').to_ascii_uppercase());
        rest /= 36;
    }
    text
}

#[cfg(test)]
mod tests;
