//! The check before *send*: whether OpenCRVS has the registration that was submitted to the bridge.
//!
//! A token proves only that some user of OpenCRVS asked for it: auth checks neither scope nor
//! record when it exchanges a session token for a record token. So the ID system is asked only
//! about a person whom OpenCRVS itself has, in a record that was submitted for registration at the
//! time of the attempt.
//!
//! Invariant: without [`CheckVerdict::Send`], nothing about the attempt is sent to the ID system.

use std::time::Duration;

use jiff::Timestamp;
use unicode_normalization::UnicodeNormalization as _;

use super::decide::RecordState;
use super::ids::RegistrationNumber;
use super::registration::EventKind;
use super::view::{Name, Role, View};

/// What OpenCRVS says about the submission of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The record, or the action, waits for the answer to exactly this attempt.
    Waits,
    /// The record waited for the answer to this attempt, and was registered meanwhile.
    Registered {
        /// Whether OpenCRVS has it under the number that the ledger allocated.
        under_our_number: bool,
    },
    /// The record waited for the answer to this attempt when the front accepted it, and OpenCRVS
    /// has moved it on since. This happens when core did not get the front's response.
    MovedOn,
    /// The action was rejected in OpenCRVS (events generation).
    Rejected,
    /// OpenCRVS has no such submission.
    Absent,
}

/// What *send* does with the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckVerdict {
    /// Ask the ID system.
    Send,
    /// Read again later: OpenCRVS may not show the submission yet.
    ReadAgain,
    /// End the attempt: OpenCRVS moved the record on by itself.
    Withdraw,
    /// Park the attempt and alert an operator.
    NotInOpencrvs(Mismatch),
}

/// The part of an attempt that disagrees with OpenCRVS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    Submission,
    TrackingId,
    Name,
    DateOfBirth,
    NationalId,
}

impl Mismatch {
    /// The name in logs, metrics and alerts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::TrackingId => "tracking_id",
            Self::Name => "name",
            Self::DateOfBirth => "date_of_birth",
            Self::NationalId => "national_id",
        }
    }
}

/// A record of the FHIR generation, as OpenCRVS shows it.
#[derive(Debug, Clone, Copy)]
pub struct RecordSeen<'a> {
    pub status: RecordState,
    /// When the record got that status.
    pub since: Timestamp,
    /// The times at which the record began to wait for an answer.
    pub waited_since: &'a [Timestamp],
    /// The registration number, if the record has one.
    pub number: Option<&'a str>,
}

/// The submission to the bridge that OpenCRVS is asked about.
#[derive(Debug, Clone, Copy)]
pub struct SubmissionSeen<'a> {
    pub stamp: Timestamp,
    pub accepted_at: Timestamp,
    /// How far the clocks of OpenCRVS and of the front may differ (`STAMP_TOLERANCE`).
    pub tolerance: Duration,
    /// The number that the ledger allocated.
    pub number: &'a RegistrationNumber,
}

/// The standing of an attempt of the FHIR generation.
pub fn record_standing(record: &RecordSeen<'_>, submission: &SubmissionSeen<'_>) -> Standing {
    if record.status == RecordState::Waiting && record.since == submission.stamp {
        return Standing::Waits;
    }
    // A record that stopped waiting long before the front accepted the attempt was not submitted
    // then: somebody repeats an old submission.
    let moved_on_before =
        record.since.saturating_add(submission.tolerance).is_ok_and(|latest| latest < submission.accepted_at);
    if !record.waited_since.contains(&submission.stamp) || moved_on_before {
        return Standing::Absent;
    }
    match record.status {
        RecordState::Registered => {
            Standing::Registered { under_our_number: record.number == Some(submission.number.as_str()) }
        }
        RecordState::BeforeValidation | RecordState::Waiting | RecordState::MovedOn => Standing::MovedOn,
    }
}

/// Decides what *send* does. `persons` compares the person of the attempt with the one in OpenCRVS;
/// `is_old` says whether OpenCRVS has had enough time to show the submission.
pub fn check(standing: Standing, persons: Result<(), Mismatch>, is_old: bool) -> CheckVerdict {
    match (standing, persons) {
        (Standing::Waits, Ok(()))
        | (Standing::Registered { under_our_number: true } | Standing::MovedOn, Ok(())) => CheckVerdict::Send,
        (Standing::Waits, Err(mismatch)) => CheckVerdict::NotInOpencrvs(mismatch),
        // The registrar may have changed the record since.
        (Standing::Registered { .. } | Standing::MovedOn | Standing::Rejected, _) => CheckVerdict::Withdraw,
        (Standing::Absent, _) if is_old => CheckVerdict::NotInOpencrvs(Mismatch::Submission),
        (Standing::Absent, _) => CheckVerdict::ReadAgain,
    }
}

/// What identifies the person whom the ID system is asked about. Personal data: `Debug` hides it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub names: Vec<FullName>,
    pub born: Option<String>,
    /// Compared only if both sides have it.
    pub national_id: Option<String>,
}

/// A name in one language.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FullName {
    /// All given names.
    pub given: String,
    /// All family names.
    pub family: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(hidden)")
    }
}

impl std::fmt::Debug for FullName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FullName(hidden)")
    }
}

impl From<&Name> for FullName {
    fn from(name: &Name) -> Self {
        let parts = [&name.firstname, &name.middlename].into_iter().flatten();
        let given: Vec<&str> = parts.map(String::as_str).collect();
        Self { given: given.join(" "), family: name.surname.clone().unwrap_or_default() }
    }
}

impl Identity {
    /// The child of a birth or the deceased of a death. `None` for a kind that the ID system is not
    /// asked about, or if the view has no such person.
    pub fn of(kind: &EventKind, view: &View) -> Option<Self> {
        let role = match kind {
            EventKind::Birth => Role::Child,
            EventKind::Death => Role::Deceased,
            EventKind::Marriage | EventKind::Other(_) => return None,
        };
        let person = view.person(role)?;
        let names = person.name.iter().chain(person.names.values()).map(FullName::from);
        Some(Self { names: names.collect(), born: person.dob.clone(), national_id: person.nid.clone() })
    }

    /// Whether this is the person whom OpenCRVS has. A member that OpenCRVS does not give, or gives
    /// as a blank, is not compared.
    ///
    /// # Errors
    /// The first member that disagrees.
    pub fn agrees_with(&self, theirs: &Self) -> Result<(), Mismatch> {
        let given: Vec<&FullName> = theirs.names.iter().filter(|name| !is_blank(name)).collect();
        let is_theirs = |ours: &FullName| given.iter().any(|name| is_part_of(ours, name));
        let has_ours = !self.names.is_empty() && self.names.iter().all(is_theirs);
        if !given.is_empty() && !has_ours {
            return Err(Mismatch::Name);
        }
        let born = theirs.born.as_deref().filter(|born| !born.trim().is_empty());
        if born.is_some() && self.born.as_deref().map(date) != born.map(date) {
            return Err(Mismatch::DateOfBirth);
        }
        match (&self.national_id, &theirs.national_id) {
            (Some(ours), Some(theirs)) if ours != theirs => Err(Mismatch::NationalId),
            _ => Ok(()),
        }
    }
}

/// Whether each word of a name is a word of the name in OpenCRVS. OpenCRVS may show more words than
/// the document had, never others.
fn is_part_of(ours: &FullName, theirs: &FullName) -> bool {
    let covers = |ours: &str, theirs: &str| {
        let (known, words) = (words(theirs), words(ours));
        (known.is_empty() || !words.is_empty()) && words.iter().all(|word| known.contains(word))
    };
    covers(&ours.given, &theirs.given) && covers(&ours.family, &theirs.family)
}

/// The words of a name, in Unicode's composed form (NFC).
fn words(name: &str) -> Vec<String> {
    name.split_whitespace().map(|word| word.nfc().collect()).collect()
}

fn is_blank(name: &FullName) -> bool {
    [&name.given, &name.family].into_iter().all(|part| part.trim().is_empty())
}

/// The parts of a date, without leading zeros.
fn date(text: &str) -> Vec<&str> {
    text.trim().split('-').map(|part| part.trim_start_matches('0')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Person;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn standing(status: RecordState, since: i64, waited: &[i64], accepted: i64) -> Standing {
        let number = RegistrationNumber::parse("2026B1").unwrap();
        let waited: Vec<_> = waited.iter().map(|second| at(*second)).collect();
        let record = RecordSeen { status, since: at(since), waited_since: &waited, number: Some("2026B1") };
        let tolerance = Duration::from_secs(300);
        let submission =
            SubmissionSeen { stamp: at(1_000), accepted_at: at(accepted), tolerance, number: &number };
        record_standing(&record, &submission)
    }

    #[test]
    fn only_a_record_that_waited_with_our_stamp_has_the_submission() {
        assert_eq!(standing(RecordState::Waiting, 1_000, &[1_000], 1_001), Standing::Waits);
        for (since, waited) in [(999, vec![999]), (1_001, vec![1_001]), (1_001, vec![])] {
            assert_eq!(standing(RecordState::Waiting, since, &waited, 1_001), Standing::Absent, "{since}");
        }
        for status in [RecordState::BeforeValidation, RecordState::MovedOn, RecordState::Registered] {
            assert_eq!(standing(status, 1_002, &[], 1_001), Standing::Absent, "{status:?}");
        }
    }

    #[test]
    fn a_submission_that_core_took_back_after_our_acceptance_is_genuine_and_an_old_one_is_not() {
        let moved = |accepted| standing(RecordState::MovedOn, 1_002, &[1_000], accepted);
        assert_eq!(moved(1_001), Standing::MovedOn);
        assert_eq!(moved(1_002 + 300), Standing::MovedOn);
        assert_eq!(moved(1_002 + 301), Standing::Absent);
        let ours = Standing::Registered { under_our_number: true };
        assert_eq!(standing(RecordState::Registered, 1_002, &[1_000], 1_001), ours);
    }

    #[test]
    fn nothing_is_sent_unless_the_submission_and_the_person_are_there() {
        let wrong = Err(Mismatch::Name);
        let not_there = CheckVerdict::NotInOpencrvs;
        for (standing, persons, is_old, verdict) in [
            (Standing::Waits, Ok(()), false, CheckVerdict::Send),
            (Standing::Waits, wrong, false, not_there(Mismatch::Name)),
            (Standing::Waits, wrong, true, not_there(Mismatch::Name)),
            (Standing::MovedOn, Ok(()), false, CheckVerdict::Send),
            (Standing::MovedOn, wrong, false, CheckVerdict::Withdraw),
            (Standing::Rejected, Ok(()), false, CheckVerdict::Withdraw),
            (Standing::Registered { under_our_number: true }, Ok(()), false, CheckVerdict::Send),
            (Standing::Registered { under_our_number: true }, wrong, false, CheckVerdict::Withdraw),
            (Standing::Registered { under_our_number: false }, Ok(()), false, CheckVerdict::Withdraw),
            (Standing::Absent, Ok(()), false, CheckVerdict::ReadAgain),
            (Standing::Absent, Ok(()), true, not_there(Mismatch::Submission)),
        ] {
            assert_eq!(check(standing, persons, is_old), verdict, "{standing:?} {persons:?} {is_old}");
        }
    }

    fn name(given: &str, family: &str) -> FullName {
        FullName { given: given.to_owned(), family: family.to_owned() }
    }

    fn person(names: &[FullName], born: Option<&str>) -> Identity {
        Identity { names: names.to_vec(), born: born.map(str::to_owned), national_id: None }
    }

    #[test]
    fn another_name_or_date_of_birth_disagrees_and_absent_members_are_not_compared() {
        let theirs = person(&[name("Ada Maria", "Doe van Dijk"), name("அடா", "டோ")], Some("2026-09-05"));
        let agrees = |names: &[FullName], born: &str| person(names, Some(born)).agrees_with(&theirs);
        for good in [name("Ada Maria", "Doe van Dijk"), name("Ada  Maria ", "Doe"), name("அடா", "டோ")]
        {
            assert_eq!(agrees(&[good], "2026-9-5"), Ok(()));
        }
        for bad in [name("Ada", ""), name("", "Doe"), name("Eve", "Doe"), name("Ada", "டோ"), name("", "")]
        {
            assert_eq!(agrees(&[name("Ada", "Doe"), bad], "2026-09-05"), Err(Mismatch::Name));
        }
        assert_eq!(agrees(&[], "2026-09-05"), Err(Mismatch::Name));
        let ours = [name("Ada", "Doe")];
        for other in ["2026-09-06", "2026-10-05", "2025-09-05"] {
            assert_eq!(agrees(&ours, other), Err(Mismatch::DateOfBirth), "{other}");
        }
        assert_eq!(person(&ours, None).agrees_with(&theirs), Err(Mismatch::DateOfBirth));
        assert_eq!(person(&ours, Some("2026-09-06")).agrees_with(&Identity::default()), Ok(()));
        let one_word = person(&[name("Ada", "")], None);
        assert_eq!(one_word.agrees_with(&one_word), Ok(()));
    }

    #[test]
    fn a_deceased_person_with_another_national_id_disagrees() {
        let of = |id: Option<&str>| Identity { national_id: id.map(str::to_owned), ..Identity::default() };
        assert_eq!(of(Some("1")).agrees_with(&of(Some("2"))), Err(Mismatch::NationalId));
        assert_eq!(of(Some("1")).agrees_with(&of(Some("1"))), Ok(()));
        assert_eq!(of(Some("1")).agrees_with(&of(None)), Ok(()));
    }

    #[test]
    fn twenty_persons_are_compared_with_those_in_opencrvs() {
        let (nfc, nfd) = ("\u{c9}l\u{e9}onore", "E\u{301}le\u{301}onore");
        for (ours, born, theirs, their_born, verdict) in [
            (("Ada", "Doe"), "2026-09-05", ("Ada", "Doe"), "2026-09-05", Ok(())),
            (("Ada", "Doe"), "2026-9-5", ("Ada", "Doe"), "2026-09-05", Ok(())),
            (("Ada", "Doe"), "2026-09-05", ("Ada", "Doe"), "2026-9-5", Ok(())),
            (("Ada", "Doe"), "2026-09-05", ("Ada", "Doe"), " 2026-09-05 ", Ok(())),
            ((nfc, "Doe"), "2026-09-05", (nfd, "Doe"), "2026-09-05", Ok(())),
            ((nfd, "Doe"), "2026-09-05", (nfc, "Doe"), "2026-09-05", Ok(())),
            (
                ("\u{ac00}\u{c740}", "\u{ae40}"),
                "2026-09-05",
                ("\u{1100}\u{1161}\u{110b}\u{1173}\u{11ab}", "\u{1100}\u{1175}\u{11b7}"),
                "2026-09-05",
                Ok(()),
            ),
            (("Ada Maria", "Doe"), "2026-09-05", ("Ada\u{a0}Maria", "Doe"), "2026-09-05", Ok(())),
            (("Ada", "van  Dijk"), "2026-09-05", ("Ada", "van Dijk"), "2026-09-05", Ok(())),
            (("Ada", "Doe"), "2026-09-05", ("Ada Maria", "Doe"), "2026-09-05", Ok(())),
            (("", "Suharto"), "2026-09-05", ("", "Suharto"), "2026-09-05", Ok(())),
            (("", "Suharto"), "2026-09-05", (" ", "Suharto"), "2026-09-05", Ok(())),
            (("Ada", "Doe"), "2026-09-05", ("", ""), "", Ok(())),
            (("Ada", "Doe"), "2026-09-05", (" ", "\u{a0}"), " ", Ok(())),
            (("", ""), "", (" ", ""), " ", Ok(())),
            (("ADA", "Doe"), "2026-09-05", ("Ada", "Doe"), "2026-09-05", Err(Mismatch::Name)),
            (("Ada", "Doe"), "2026-09-05", ("Doe", "Ada"), "2026-09-05", Err(Mismatch::Name)),
            (("Ada Maria", "Doe"), "2026-09-05", ("Ada", "Doe"), "2026-09-05", Err(Mismatch::Name)),
            (("Adam", "Doe"), "2026-09-05", ("Ada", "Doe"), "2026-09-05", Err(Mismatch::Name)),
            (("Eleonore", "Doe"), "2026-09-05", (nfd, "Doe"), "2026-09-05", Err(Mismatch::Name)),
            (("", ""), "2026-09-05", ("Ada", "Doe"), "2026-09-05", Err(Mismatch::Name)),
            (("Ada", "Doe"), "2026-05-09", ("Ada", "Doe"), "2026-09-05", Err(Mismatch::DateOfBirth)),
            (("Ada", "Doe"), "2026-09-05", ("Ada", "Doe"), "2026-09-15", Err(Mismatch::DateOfBirth)),
            (("Ada", "Doe"), "2025-12-31", ("Ada", "Doe"), "2026-01-01", Err(Mismatch::DateOfBirth)),
            (("Ada", "Doe"), "", ("Ada", "Doe"), "2026-09-05", Err(Mismatch::DateOfBirth)),
            (("Ada", "Doe"), "2026-09-05", ("Ada", "Doe"), "0202-69-05", Err(Mismatch::DateOfBirth)),
        ] {
            let of = |(given, family): (&str, &str), born: &str| {
                // An empty member counts as absent, as in both readers; a blank one may be present.
                let names: &[FullName] =
                    if given.is_empty() && family.is_empty() { &[] } else { &[name(given, family)] };
                person(names, (!born.is_empty()).then_some(born))
            };
            assert_eq!(
                of(ours, born).agrees_with(&of(theirs, their_born)),
                verdict,
                "{ours:?} {born} {theirs:?} {their_born}"
            );
        }
    }

    #[test]
    fn the_person_of_an_event_is_the_one_whom_the_id_system_is_asked_about() {
        let name = |given: &str| Name {
            firstname: Some(given.to_owned()),
            middlename: Some("M".to_owned()),
            surname: Some("Doe".to_owned()),
        };
        let mut view = View::default();
        for (role, given) in [(Role::Child, "Ada"), (Role::Deceased, "Eve")] {
            view.persons.insert(role, Person { name: Some(name(given)), ..Person::default() });
        }
        for (kind, given) in [(EventKind::Birth, "Ada M"), (EventKind::Death, "Eve M")] {
            let found = Identity::of(&kind, &view).unwrap();
            assert_eq!((found.names[0].given.as_str(), found.names[0].family.as_str()), (given, "Doe"));
        }
        assert!(Identity::of(&EventKind::Marriage, &view).is_none());
        assert_eq!(Mismatch::DateOfBirth.as_str(), "date_of_birth");
        assert_eq!(Mismatch::NationalId.as_str(), "national_id");
    }
}
