//! How documents of OpenCRVS are read: by the settings, and by what is known of the country's
//! forms.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::domain::{Dialect, EventKind, FieldPath, FieldSources, View};

/// The type of identifier that stands for the national ID unless the country has another one.
pub(super) const NATIONAL_ID: &str = "NATIONAL_ID";

/// The rules by which both generations are read. Clones share what is known of the forms.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The type of identifier under which OpenCRVS keeps the national ID.
    pub identifier_type: String,
    pub fhir: FieldSources,
    pub events: FieldSources,
    /// The country's time zone. In UTC, which is also the value that nobody has set, the day of an
    /// instant is not known.
    zone: TimeZone,
    /// The field with the date of the event, by kind of event. Empty until the forms were read.
    dates: Arc<RwLock<BTreeMap<String, FieldPath>>>,
}

impl Reading {
    pub fn new(identifier_type: String, fhir: FieldSources, events: FieldSources) -> Self {
        Self { identifier_type, fhir, events, zone: TimeZone::UTC, dates: Arc::default() }
    }

    /// The same rules in this time zone.
    #[must_use]
    pub fn in_zone(self, zone: TimeZone) -> Self {
        Self { zone, ..self }
    }

    /// Writes each date of a view as the day in the country, if the document has an instant in its
    /// place.
    pub(super) fn localise(&self, view: &mut View) {
        let persons = view.persons.values_mut();
        let dates = persons.flat_map(|person| [&mut person.dob, &mut person.date_of_death]);
        for date in dates.chain([&mut view.event_details.date]) {
            if let Some(day) = date.as_deref().and_then(|text| self.local_day(text)) {
                *date = Some(day);
            }
        }
    }

    /// The day of an instant in UTC. `None` for any other text, and for midnight: that is how a day
    /// without a time is written.
    pub fn local_day(&self, text: &str) -> Option<String> {
        let text = text.trim();
        let (_, time) = text.split_once(['T', 't', ' '])?;
        let clock =
            ["Z", "z", "+00:00", "-00:00", "+0000"].iter().find_map(|zone| time.strip_suffix(zone))?;
        let clock: Time = clock.parse().ok()?;
        if self.zone == TimeZone::UTC || clock == Time::midnight() {
            return None;
        }
        let instant: Timestamp = text.parse().ok()?;
        Some(instant.to_zoned(self.zone.clone()).date().to_string())
    }

    /// Remembers which field has the date of the event, for every clone.
    pub(super) fn learn_dates(&self, dates: BTreeMap<String, FieldPath>) {
        *self.dates.write().unwrap_or_else(PoisonError::into_inner) = dates;
    }

    pub(super) fn date_of(&self, kind: &EventKind) -> Option<FieldPath> {
        self.dates.read().unwrap_or_else(PoisonError::into_inner).get(kind.as_str()).cloned()
    }
}

/// The conventions that OpenCRVS's own forms follow.
impl Default for Reading {
    fn default() -> Self {
        let conventional = FieldSources::conventional;
        Self::new(NATIONAL_ID.to_owned(), conventional(Dialect::Fhir), conventional(Dialect::Events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventDetails, Person, Role};

    fn reading(zone: &str) -> Reading {
        Reading::default().in_zone(TimeZone::get(zone).unwrap())
    }

    #[test]
    fn an_instant_in_utc_is_the_day_in_the_country() {
        for (zone, written, day) in [
            ("Africa/Lusaka", "2026-03-01T10:00:00Z", "2026-03-01"),
            ("Africa/Lusaka", "2026-02-28T22:00:00.000Z", "2026-03-01"),
            ("Africa/Lusaka", "2026-02-28T21:59:59.999Z", "2026-02-28"),
            ("America/Bogota", "2026-03-01T04:59:00+00:00", "2026-02-28"),
            ("Asia/Dhaka", " 2026-03-01t20:00:00z ", "2026-03-02"),
            ("Europe/Lisbon", "2026-07-01T23:30:00Z", "2026-07-02"),
        ] {
            assert_eq!(reading(zone).local_day(written).as_deref(), Some(day), "{zone} {written}");
        }
    }

    #[test]
    fn a_day_without_a_time_and_a_local_time_stay_as_they_are_written() {
        for written in [
            "2026-03-01",
            "2026-03-01T00:00:00.000Z",
            "2026-03-01T00:00:00+00:00",
            "2026-03-01T23:30:00+02:00",
            "2026-03-01T23:30",
            "2026-02-30T10:00:00Z",
            "soon",
            "",
        ] {
            assert_eq!(reading("America/Bogota").local_day(written), None, "{written}");
        }
        // The zone is not set, so which day it was is not known.
        assert_eq!(Reading::default().local_day("2026-03-01T10:00:00Z"), None);
    }

    #[test]
    fn every_date_of_a_view_is_written_so() {
        let instant = Some("2026-02-28T22:00:00Z".to_owned());
        let person = Person { dob: instant.clone(), date_of_death: instant.clone(), ..Person::default() };
        let mut view = View {
            persons: BTreeMap::from([(Role::Deceased, person.clone()), (Role::Mother, person)]),
            event_details: EventDetails { date: instant, place: None },
            ..View::default()
        };
        reading("Africa/Lusaka").localise(&mut view);
        let text = format!("{:?}", serde_json::to_value(&view).unwrap());
        assert_eq!(text.matches("2026-03-01").count(), 5, "{text}");
        assert!(!text.contains("22:00"));
    }
}
