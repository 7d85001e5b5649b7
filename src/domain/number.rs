//! The registration number of a record: given by the country, or made from a template.
//!
//! Invariant: a number that the country gave is never replaced. A made number is a function of the
//! registration and the rules alone; the ledger allocates it once and keeps it unique.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::ids::{RegistrationNumber, UnusableId};
use super::order::order_stamp;
use super::registration::Registration;

/// How the registration numbers of a country are made and compared.
#[derive(Debug, Clone)]
pub struct NumberRules {
    /// Makes the number of a record to which the country gave none.
    pub template: NumberTemplate,
    pub unique: NumberScope,
    /// The country's time zone, by which a registration has its date.
    pub zone: TimeZone,
    /// `STAMP_TOLERANCE`.
    pub tolerance: Duration,
}

/// Within which registrations a number is unique. Without any of these, it is unique everywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NumberScope {
    /// Offices may use the same numbers.
    pub office: bool,
    /// Years may use the same numbers.
    pub year: bool,
    /// Kinds of event may use the same numbers.
    pub kind: bool,
}

/// A number that a record is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNumber {
    pub number: RegistrationNumber,
    /// The number with its scope. No two records have the same key.
    pub key: String,
}

impl NumberRules {
    /// The date of a registration in the country: that of its submission, or that of its acceptance
    /// if the stamp lies in the future.
    pub fn date_of(&self, stamp: Timestamp, accepted_at: Timestamp) -> Date {
        order_stamp(stamp, accepted_at, self.tolerance).to_zoned(self.zone.clone()).date()
    }

    /// The number for the record of a registration: the given one if there is one.
    ///
    /// # Errors
    /// [`UnusableId`] if the template makes a text that is longer than a number may be.
    pub fn number_for(
        &self,
        registration: &Registration,
        given: Option<&RegistrationNumber>,
    ) -> Result<NewNumber, UnusableId> {
        let year = self.date_of(registration.key.stamp, registration.accepted_at).year();
        let number = match given {
            Some(given) => given.clone(),
            None => self.template.fill(registration, year)?,
        };
        let key = self.unique.key(&number, registration, year);
        Ok(NewNumber { number, key })
    }
}

impl NumberScope {
    /// Reads `global`, or some of `office`, `year` and `kind` with commas between them.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scope = Self::default();
        if text.trim() == "global" {
            return Some(scope);
        }
        for part in text.split(',').map(str::trim) {
            let member = match part {
                "office" => &mut scope.office,
                "year" => &mut scope.year,
                "kind" => &mut scope.kind,
                _ => return None,
            };
            if std::mem::replace(member, true) {
                return None;
            }
        }
        Some(scope)
    }

    /// The key of a number. For a number that is unique everywhere it is the number itself, which
    /// is also what older releases stored.
    fn key(self, number: &RegistrationNumber, registration: &Registration, year: i16) -> String {
        let mut key = number.as_str().to_owned();
        let parts = [
            (self.office, registration.office.clone().unwrap_or_default()),
            (self.year, year.to_string()),
            (self.kind, registration.kind.as_str().to_owned()),
        ];
        // No number, office or kind contains a tab.
        for (_, part) in parts.iter().filter(|(is_part, _)| *is_part) {
            key.push('\t');
            key.push_str(part);
        }
        key
    }
}

/// A template such as `{year}{tracking_id}`, which the reference country configuration of OpenCRVS
/// uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Year,
    TrackingId,
    Event,
    Office,
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableTemplate {
    #[error("unknown placeholder {{{0}}}: use {{year}}, {{tracking_id}}, {{event}} or {{office}}")]
    Unknown(String),
    #[error("a {{ is not closed")]
    Unclosed,
    #[error("{{tracking_id}} is missing: without it two records would get one number")]
    NotUnique,
}

impl NumberTemplate {
    /// # Errors
    /// [`UnusableTemplate`] says what is wrong with the template.
    pub fn parse(text: &str) -> Result<Self, UnusableTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (name, after) = after.split_once('}').ok_or(UnusableTemplate::Unclosed)?;
            parts.push(match name {
                "year" => Part::Year,
                "tracking_id" => Part::TrackingId,
                "event" => Part::Event,
                "office" => Part::Office,
                other => return Err(UnusableTemplate::Unknown(other.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if !parts.contains(&Part::TrackingId) {
            return Err(UnusableTemplate::NotUnique);
        }
        Ok(Self(parts))
    }

    /// The number of this registration, in this year.
    ///
    /// # Errors
    /// [`UnusableId`] if the result is longer than a number may be.
    fn fill(&self, registration: &Registration, year: i16) -> Result<RegistrationNumber, UnusableId> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(t) => text.push_str(t),
                Part::Year => text.push_str(&year.to_string()),
                Part::TrackingId => text.push_str(registration.tracking_id.as_str()),
                Part::Event => text.push_str(registration.kind.as_str()),
                Part::Office => text.push_str(registration.office.as_deref().unwrap_or("")),
            }
        }
        RegistrationNumber::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AttemptKey, Dialect, EventKind, RecordId, TrackingId};

    fn rules(zone: &str, unique: &str) -> NumberRules {
        NumberRules {
            template: NumberTemplate::parse("{year}{tracking_id}").unwrap(),
            unique: NumberScope::parse(unique).unwrap(),
            zone: TimeZone::get(zone).unwrap(),
            tolerance: Duration::from_secs(300),
        }
    }

    fn registration(stamp: &str, accepted_at: &str) -> Registration {
        Registration {
            key: AttemptKey {
                dialect: Dialect::Fhir,
                record: RecordId::parse("r").unwrap(),
                mark: stamp.to_owned(),
                stamp: stamp.parse().unwrap(),
            },
            kind: EventKind::Birth,
            tracking_id: TrackingId::parse("B123456").unwrap(),
            office: Some("CRVS_OFFICE_A".to_owned()),
            accepted_at: accepted_at.parse().unwrap(),
            wait: Duration::ZERO,
            token_expires_at: None,
            number: None,
            unheard: false,
        }
    }

    #[test]
    fn the_year_of_a_number_is_that_of_the_registration_in_the_country() {
        for (zone, stamp, accepted_at, date) in [
            // 13:30 on New Year's Eve in Niue.
            ("Pacific/Niue", "2027-01-01T00:30:00Z", "2027-01-01T00:30:01Z", "2026-12-31"),
            ("Pacific/Kiritimati", "2026-12-31T10:00:00Z", "2026-12-31T10:00:01Z", "2027-01-01"),
            ("Asia/Kathmandu", "2026-12-31T18:14:59Z", "2026-12-31T18:15:01Z", "2026-12-31"),
            ("Asia/Kathmandu", "2026-12-31T18:15:00Z", "2026-12-31T18:15:01Z", "2027-01-01"),
            ("UTC", "2027-01-01T00:30:00Z", "2027-01-01T00:30:01Z", "2027-01-01"),
            // The front was down at the turn of the year, or the registration was in its spool.
            ("UTC", "2026-12-31T23:59:00Z", "2027-01-01T02:00:00Z", "2026-12-31"),
            // A stamp from the future is ignored.
            ("UTC", "9999-12-30T00:00:00Z", "2026-12-31T23:00:00Z", "2026-12-31"),
            ("Africa/Lusaka", "2026-12-31T22:00:00Z", "2026-12-31T21:58:00Z", "2027-01-01"),
        ] {
            let rules = rules(zone, "global");
            let registration = registration(stamp, accepted_at);
            let found = rules.date_of(registration.key.stamp, registration.accepted_at);
            assert_eq!(found.to_string(), date, "{zone} {stamp} {accepted_at}");
            let number = rules.number_for(&registration, None).unwrap().number;
            assert_eq!(number.as_str(), format!("{}B123456", &date[..4]));
        }
    }

    #[test]
    fn a_given_number_is_never_replaced_and_its_key_has_the_scope_in_which_it_is_unique() {
        let given = RegistrationNumber::parse("0001/2025").unwrap();
        let registration = registration("2026-11-30T10:00:00Z", "2026-11-30T10:00:01Z");
        for (unique, key) in [
            ("global", "0001/2025"),
            ("office", "0001/2025\tCRVS_OFFICE_A"),
            ("year, kind", "0001/2025\t2026\tbirth"),
            ("office,year,kind", "0001/2025\tCRVS_OFFICE_A\t2026\tbirth"),
        ] {
            let number = rules("UTC", unique).number_for(&registration, Some(&given)).unwrap();
            assert_eq!((number.number.as_str(), number.key.as_str()), ("0001/2025", key));
        }
        for odd in ["", "Global", "office,office", "global,year", "office,", "district"] {
            assert_eq!(NumberScope::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_template_that_cannot_tell_two_records_apart_is_refused() {
        assert_eq!(NumberTemplate::parse("{year}-{office}"), Err(UnusableTemplate::NotUnique));
        assert_eq!(NumberTemplate::parse("{year"), Err(UnusableTemplate::Unclosed));
        assert_eq!(NumberTemplate::parse("{Year}"), Err(UnusableTemplate::Unknown("Year".into())));
        assert!(NumberTemplate::parse("{year}{tracking_id}").is_ok());
    }

    #[test]
    fn twenty_countries_have_the_registration_on_their_own_day() {
        // The offsets come from the countries' laws, which no longer change for the past.
        for (zone, stamp, date) in [
            ("Pacific/Niue", "2025-01-01T10:59:59Z", "2024-12-31"), // -11:00
            ("Pacific/Pago_Pago", "2025-01-01T11:00:00Z", "2025-01-01"), // -11:00
            ("Pacific/Apia", "2024-12-31T11:00:00Z", "2025-01-01"), // +13:00, no DST since 2021
            ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29"), // -10:00, DST
            ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31"), // there was no 30 December
            ("Pacific/Kiritimati", "2024-12-31T10:00:00Z", "2025-01-01"), // +14:00
            ("Pacific/Chatham", "2024-12-31T10:14:59Z", "2024-12-31"), // +13:45, DST
            ("Pacific/Chatham", "2024-12-31T10:15:00Z", "2025-01-01"),
            ("Pacific/Fiji", "2024-12-31T12:00:00Z", "2025-01-01"), // +12:00
            ("Pacific/Tarawa", "2024-12-31T11:59:59Z", "2024-12-31"), // +12:00
            ("Australia/Adelaide", "2024-12-31T13:30:00Z", "2025-01-01"), // +10:30, DST
            ("Asia/Kathmandu", "2024-12-31T18:15:00Z", "2025-01-01"), // +05:45
            ("Asia/Colombo", "2024-12-31T18:30:00Z", "2025-01-01"), // +05:30
            ("Asia/Yangon", "2024-12-31T17:29:59Z", "2024-12-31"),  // +06:30
            ("Asia/Kabul", "2024-12-31T19:30:00Z", "2025-01-01"),   // +04:30
            ("Asia/Tehran", "2024-12-31T20:30:00Z", "2025-01-01"),  // +03:30, no DST since 2022
            ("Asia/Dhaka", "2024-12-31T17:59:59Z", "2024-12-31"),   // +06:00
            ("Africa/Addis_Ababa", "2024-12-31T21:00:00Z", "2025-01-01"), // +03:00
            ("Africa/Lusaka", "2024-12-31T22:00:00Z", "2025-01-01"), // +02:00
            ("Africa/Casablanca", "2024-12-31T23:00:00Z", "2025-01-01"), // +01:00 outside of Ramadan
            ("Africa/Monrovia", "2024-12-31T23:59:59Z", "2024-12-31"), // +00:00
            ("Atlantic/Cape_Verde", "2025-01-01T00:59:59Z", "2024-12-31"), // -01:00
            ("America/St_Johns", "2025-01-01T03:30:00Z", "2025-01-01"), // -03:30
            ("America/St_Johns", "2024-07-01T02:29:59Z", "2024-06-30"), // -02:30, DST
            ("America/Port-au-Prince", "2025-01-01T04:59:59Z", "2024-12-31"), // -05:00
            ("America/Santiago", "2025-01-01T03:00:00Z", "2025-01-01"), // -03:00, DST
            ("Pacific/Marquesas", "2025-01-01T09:29:59Z", "2024-12-31"), // -09:30
            ("Europe/Lisbon", "2024-06-30T23:00:00Z", "2024-07-01"), // +01:00, DST
        ] {
            let stamp = stamp.parse().unwrap();
            assert_eq!(rules(zone, "global").date_of(stamp, stamp).to_string(), date, "{zone} {stamp}");
        }
    }

    #[test]
    fn twenty_given_numbers_are_unique_within_what_the_country_says() {
        let given = |number: &str| RegistrationNumber::parse(number).unwrap();
        let of = |office: Option<&str>, kind: EventKind, year: &str| Registration {
            office: office.map(str::to_owned),
            kind,
            ..registration(&format!("{year}-06-30T12:00:00Z"), &format!("{year}-06-30T12:00:01Z"))
        };
        let base = || of(Some("A"), EventKind::Birth, "2026");
        for (unique, number, other, clashes) in [
            ("global", "1", base(), true),
            ("global", "1", of(Some("B"), EventKind::Birth, "2026"), true),
            ("global", "1", of(Some("A"), EventKind::Death, "2026"), true),
            ("global", "1", of(Some("A"), EventKind::Birth, "2027"), true),
            ("global", "1", of(None, EventKind::Birth, "2026"), true),
            ("global", "01", base(), false),
            ("global", "1 ", base(), false),
            ("office", "1", base(), true),
            ("office", "1", of(Some("B"), EventKind::Birth, "2026"), false),
            ("office", "1", of(None, EventKind::Birth, "2026"), false),
            ("office", "1", of(Some("A"), EventKind::Death, "2027"), true),
            ("year", "1", of(Some("B"), EventKind::Death, "2026"), true),
            ("year", "1", of(Some("A"), EventKind::Birth, "2027"), false),
            ("kind", "1", of(Some("B"), EventKind::Birth, "2027"), true),
            ("kind", "1", of(Some("A"), EventKind::Death, "2026"), false),
            ("kind", "1", of(Some("A"), EventKind::Other("adoption".to_owned()), "2026"), false),
            ("office,year", "1", of(Some("A"), EventKind::Death, "2026"), true),
            ("office,year", "1", of(Some("A"), EventKind::Death, "2027"), false),
            ("year,kind", "1", of(Some("B"), EventKind::Birth, "2026"), true),
            ("office,kind", "1", of(Some("A"), EventKind::Birth, "2030"), true),
            ("office,year,kind", "1", base(), true),
            ("office,year,kind", "1", of(Some("A"), EventKind::Birth, "2027"), false),
        ] {
            let rules = rules("UTC", unique);
            let one = rules.number_for(&base(), Some(&given("1"))).unwrap();
            let two = rules.number_for(&other, Some(&given(number))).unwrap();
            assert_eq!(
                (one.key == two.key, two.number.as_str()),
                (clashes, number),
                "{unique} {number} {other:?}"
            );
        }
    }

    #[test]
    fn a_template_has_text_only_where_it_was_written() {
        for (text, parts) in [
            ("{tracking_id}", vec![Part::TrackingId]),
            ("B{tracking_id}", vec![Part::Text("B".to_owned()), Part::TrackingId]),
            ("{year}{tracking_id}/A", vec![Part::Year, Part::TrackingId, Part::Text("/A".to_owned())]),
        ] {
            assert!(NumberTemplate::parse(text).unwrap().0 == parts, "{text}");
        }
    }
}
