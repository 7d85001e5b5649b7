//! Makes the registration number of a record from a template.
//!
//! Invariant: the number is a function of the registration alone; the ledger allocates it once and
//! keeps it unique.

use jiff::Timestamp;

use super::ids::{RegistrationNumber, UnusableId};
use super::registration::Registration;

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

    /// The number of this registration; `{year}` is the year of its acceptance in UTC.
    ///
    /// # Errors
    /// [`UnusableId`] if the result is longer than a number may be.
    pub fn fill(&self, registration: &Registration) -> Result<RegistrationNumber, UnusableId> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(t) => text.push_str(t),
                Part::Year => text.push_str(&year(registration.accepted_at).to_string()),
                Part::TrackingId => text.push_str(registration.tracking_id.as_str()),
                Part::Event => text.push_str(registration.kind.as_str()),
                Part::Office => text.push_str(registration.office.as_deref().unwrap_or("")),
            }
        }
        RegistrationNumber::parse(&text)
    }
}

fn year(at: Timestamp) -> i16 {
    at.to_zoned(jiff::tz::TimeZone::UTC).year()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_cannot_tell_two_records_apart_is_refused() {
        assert_eq!(NumberTemplate::parse("{year}-{office}"), Err(UnusableTemplate::NotUnique));
        assert_eq!(NumberTemplate::parse("{year"), Err(UnusableTemplate::Unclosed));
        assert_eq!(NumberTemplate::parse("{Year}"), Err(UnusableTemplate::Unknown("Year".into())));
        assert!(NumberTemplate::parse("{year}{tracking_id}").is_ok());
    }
}
