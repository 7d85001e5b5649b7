//! The fields that documents are read from, checked against the country's forms.
//!
//! Source of `dateOfEvent`: `EventConfig` of opencrvs-core, v1.9.0–v2.1.0.
//!
//! Invariant: no registration waits for this check. Until the forms were read once, documents are
//! read by the settings and the conventions alone.

use tokio::sync::Mutex;

use super::forms::{FormsClient, FormsFault};
use crate::domain::MissingSource;
use crate::opencrvs::call::ClientSettings;
use crate::opencrvs::reading::Reading;

/// Checks the sources of a [`Reading`], and tells it which fields have the dates of events.
#[derive(Debug)]
pub struct SourceCheck {
    client: Mutex<FormsClient>,
    reading: Reading,
}

impl SourceCheck {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(country_config: &ClientSettings, reading: Reading) -> Result<Self, reqwest::Error> {
        Ok(Self { client: Mutex::new(FormsClient::new(country_config)?), reading })
    }

    /// Fetches the forms, and returns the members that no form has.
    ///
    /// # Errors
    /// [`FormsFault`]. What was known of the forms stays.
    pub async fn missing(&self) -> Result<Vec<MissingSource>, FormsFault> {
        let forms = self.client.lock().await.fetch(&self.reading.events.names()).await?;
        let missing = self.reading.events.missing(&forms);
        self.reading.learn_dates(forms.dates);
        Ok(missing)
    }
}

#[cfg(test)]
mod tests;
