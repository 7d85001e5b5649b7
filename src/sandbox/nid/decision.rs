//! What the vendor answers to a submission. The decision is a pure function of the settings and the
//! request, so that tests can compute it beforehand.
//!
//! Invariant: the vendor answers by this function and by nothing else, as long as the request is
//! complete and no answer is scripted. The function depends on the seed, on
//! [`VendorSettings::reject`], [`VendorSettings::reject_for_good`], [`VendorSettings::contradict`]
//! and [`VendorSettings::mistake`], and on no other setting.

use fastrand::Rng;

use super::reply::Final;
use super::settings::VendorSettings;
use crate::sandbox::population::{Declaration, Kind};
use crate::sandbox::random::{digest, rng};

const REASONS: [&str; 4] = ["invalid_data", "duplicate_person", "not_eligible", "policy"];

/// What an ID system is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To issue an ID.
    Birth,
    /// To record a death.
    Death,
}

impl Asked {
    /// What the ID system is asked about a declaration. `None` for a marriage and for a deceased
    /// person without an ID.
    pub fn of(declaration: &Declaration) -> Option<Self> {
        match declaration.kind {
            Kind::Birth => Some(Self::Birth),
            Kind::Death => declaration.deceased_has_national_id().then_some(Self::Death),
            Kind::Marriage => None,
        }
    }

    pub(super) fn reply_to(self) -> &'static str {
        match self {
            Self::Birth => "reply.birth",
            Self::Death => "reply.death",
        }
    }
}

/// How a submission ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The first final answer, which wins.
    pub answer: Final,
    /// A later final answer that contradicts the first one.
    pub contradiction: Option<Final>,
    /// When another person's ID is sent as well, if there is one to send.
    pub mistake: Option<Mistake>,
}

/// When another person's ID is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// Before the genuine answer.
    Before,
    /// Well after the genuine answer.
    After,
}

impl VendorSettings {
    /// How a submission ends for a person who has no ID and no record of death from an earlier
    /// submission.
    ///
    /// The ID is the one that the vendor issues, unless another person has it already. That happens
    /// once in ten thousand runs of a thousand births.
    pub fn decision(&self, request_id: &str, submission: u64, asked: Asked) -> Decision {
        // A person who is rejected for good is rejected with every submission, so that the end does
        // not depend on which of the submissions the ID system gets.
        let salt = if self.reject_for_good { 0 } else { submission };
        let mut rng = self.rng(request_id, 0x7665_7264_6963_7400 ^ salt);
        let rejected = rng.f64() < self.reject;
        let reason = Final::Rejected(rng.choice(REASONS).unwrap_or("other"));
        let granted = match asked {
            Asked::Birth => Final::Issued(self.ids(request_id).next().unwrap_or_default()),
            Asked::Death => Final::Recorded,
        };
        let (answer, other) = if rejected { (reason, granted) } else { (granted, Final::Rejected("policy")) };
        let contradicts = self.rng(request_id, 0x6e6f ^ submission).f64() < self.contradict;
        let mut rng = self.rng(request_id, 0x6d69_7374 ^ submission);
        let mistaken = rng.f64() < self.mistake && !contradicts && asked == Asked::Birth;
        let mistake = if rng.bool() { Mistake::Before } else { Mistake::After };
        Decision { answer, contradiction: contradicts.then_some(other), mistake: mistaken.then_some(mistake) }
    }

    /// How a person ends if the vendor gets these submissions in this order. An ID or a death that
    /// was issued or recorded stays.
    pub fn ending(&self, request_id: &str, asked: Asked, submissions: &[u64]) -> Option<Final> {
        let answers = submissions.iter().map(|one| self.decision(request_id, *one, asked).answer);
        answers.reduce(|known, next| if matches!(known, Final::Rejected(_)) { next } else { known })
    }

    /// The candidate IDs of a person, best first. Each has ten digits.
    pub(super) fn ids(&self, request_id: &str) -> impl Iterator<Item = String> + use<> {
        let mut rng = Rng::with_seed(self.seed ^ digest(request_id).rotate_left(7));
        std::iter::repeat_with(move || rng.u64(5_000_000_000..10_000_000_000).to_string())
    }

    /// The random generator for one decision about a request.
    pub(super) fn rng(&self, request_id: &str, salt: u64) -> Rng {
        rng(self.seed, request_id, salt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(reject: f64, reject_for_good: bool) -> VendorSettings {
        VendorSettings { seed: 11, reject, reject_for_good, contradict: 0.5, ..VendorSettings::default() }
    }

    fn rejected(settings: &VendorSettings, submission: u64) -> Vec<bool> {
        let decision = |person| settings.decision(&format!("p{person}"), submission, Asked::Birth).answer;
        (0..1_000).map(|person| matches!(decision(person), Final::Rejected(_))).collect()
    }

    #[test]
    fn a_share_is_rejected_each_time_anew_or_every_time() {
        let (each, every) = (settings(0.3, false), settings(0.3, true));
        let share = rejected(&each, 1).into_iter().filter(|rejected| *rejected).count();
        assert!(share.abs_diff(300) < 50, "{share}");
        assert_ne!(rejected(&each, 1), rejected(&each, 2));
        assert_eq!(rejected(&every, 1), rejected(&every, 2));
    }

    #[test]
    fn what_was_issued_stays_and_what_was_rejected_is_asked_anew() {
        let settings = settings(0.5, false);
        let person = |first: bool, second: bool| {
            let of = |person: &String, submission| {
                matches!(settings.decision(person, submission, Asked::Birth).answer, Final::Issued(_))
            };
            let mut people = (0..200).map(|person| format!("p{person}"));
            people.find(|person| of(person, 1) == first && of(person, 2) == second).unwrap()
        };
        let end = |person: &str, seen: &[u64]| settings.ending(person, Asked::Birth, seen).unwrap();
        let lucky = person(true, false);
        assert_eq!(end(&lucky, &[1, 2]), end(&lucky, &[1]));
        assert_eq!(end(&lucky, &[2]).status(), "rejected");
        assert_eq!(end(&person(false, true), &[1, 2]).status(), "issued");
        assert_eq!(settings.ending(&lucky, Asked::Birth, &[]), None);
    }

    #[test]
    fn a_contradiction_says_the_opposite() {
        let settings = settings(0.5, false);
        let mut contradicted = 0;
        for person in 0..1_000 {
            let decision = settings.decision(&format!("p{person}"), 1, Asked::Death);
            let Some(other) = decision.contradiction else { continue };
            contradicted += 1;
            let no = |answer: &Final| matches!(answer, Final::Rejected(_));
            assert_ne!(no(&decision.answer), no(&other));
        }
        assert!(500_usize.abs_diff(contradicted) < 60, "{contradicted}");
    }
}
