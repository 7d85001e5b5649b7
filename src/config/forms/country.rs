//! Settings that a country chooses: its numbers, its time zone, its form fields, and what happens
//! with a negative answer.

use jiff::tz::TimeZone;

use crate::config::setting::Form;
use crate::domain::{Dialect, FieldMapping, FieldSources, NegativePolicy, NumberScope, NumberTemplate};

pub(in crate::config) struct Template;

impl Form for Template {
    type Value = NumberTemplate;
    const EXPECTED: &'static str = "a text with {tracking_id}, and {year}, {event} or {office} if wanted";

    fn parse(text: &str) -> Result<NumberTemplate, String> {
        NumberTemplate::parse(text).map_err(|why| format!("cannot be used: {why}"))
    }
}

/// The registrations within which a number is unique.
pub(in crate::config) struct Scope;

impl Form for Scope {
    type Value = NumberScope;
    const EXPECTED: &'static str = "global, or some of office, year and kind with commas between them";

    fn parse(text: &str) -> Result<NumberScope, String> {
        NumberScope::parse(text).ok_or_else(|| "has another name, or one name twice".to_owned())
    }
}

/// A time zone of the IANA database, which is part of the program.
pub(in crate::config) struct Zone;

impl Form for Zone {
    type Value = TimeZone;
    const EXPECTED: &'static str = "a time zone such as Africa/Lusaka or Pacific/Niue";

    fn parse(text: &str) -> Result<TimeZone, String> {
        TimeZone::get(text).map_err(|_| "is not in the IANA database".to_owned())
    }
}

/// A field mapping. It is shown with every condition.
pub(in crate::config) struct Mapping;

impl Form for Mapping {
    type Value = FieldMapping;
    const EXPECTED: &'static str = "fields for each kind of event such as birth: child.nid = id, child.idType = \"NATIONAL_ID\"; death: \
         deceased.nid = null when recorded";

    fn parse(text: &str) -> Result<FieldMapping, String> {
        FieldMapping::parse(text).map_err(|why| format!("cannot be used: {why}"))
    }

    fn show(text: &str) -> String {
        FieldMapping::parse(text).map_or_else(|_| text.to_owned(), |mapping| mapping.to_string())
    }
}

/// Sources of the events generation. The text is shown with the defaults of all other members.
pub(in crate::config) struct EventsSources;

impl Form for EventsSources {
    type Value = FieldSources;
    const EXPECTED: &'static str =
        "members with their fields such as child.name = child.nameEnglish, mother.nid = none";

    fn parse(text: &str) -> Result<FieldSources, String> {
        sources(Dialect::Events, text)
    }

    fn show(text: &str) -> String {
        Self::parse(text).map_or_else(|_| text.to_owned(), |sources| sources.to_string())
    }
}

/// Sources of the FHIR generation. The text is shown with the defaults of all other members.
pub(in crate::config) struct FhirSources;

impl Form for FhirSources {
    type Value = FieldSources;
    const EXPECTED: &'static str =
        "members with their sources such as deceased.nid = identifier.NIN | patient";

    fn parse(text: &str) -> Result<FieldSources, String> {
        sources(Dialect::Fhir, text)
    }

    fn show(text: &str) -> String {
        Self::parse(text).map_or_else(|_| text.to_owned(), |sources| sources.to_string())
    }
}

fn sources(dialect: Dialect, text: &str) -> Result<FieldSources, String> {
    FieldSources::parse(dialect, text).map_err(|why| format!("cannot be used: {why}"))
}

pub(in crate::config) struct Negative;

impl Form for Negative {
    type Value = NegativePolicy;
    const EXPECTED: &'static str = "hold or confirm_with_comment";

    fn parse(text: &str) -> Result<NegativePolicy, String> {
        match text {
            "hold" => Ok(NegativePolicy::Hold),
            "confirm_with_comment" | "confirm-with-comment" => Ok(NegativePolicy::ConfirmWithComment),
            _ => Err("is neither".to_owned()),
        }
    }
}
