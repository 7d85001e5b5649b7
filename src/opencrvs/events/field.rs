//! The field that gets the issued ID, checked against what the country's configuration defines.
//!
//! The events generation knows no identifiers: the ID goes into a field of the declaration. Core stores whatever it is
//! sent, and a field that the country's forms do not define then breaks every look at that record, for good.
//!
//! Invariant: only a field that the country's own answer names, fetched not longer ago than `recheck`, is written.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::domain::{EventKind, IdField};
use crate::opencrvs::{ClientSettings, client, whole};

/// Between two questions that were answered with less than a yes.
const PAUSE: Duration = Duration::from_secs(5);

/// Why the country's configuration is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// It did not answer.
    #[error(
        "the country's configuration service does not answer: check COUNTRY_CONFIG_URL and that it is up"
    )]
    Away,
    /// It answered with this.
    #[error("the country's configuration service answers GET /events with HTTP {0}")]
    Status(u16),
    /// It answered with something else than event configurations.
    #[error(
        "the country's configuration service does not answer GET /events with a list of event configurations"
    )]
    Unreadable,
}

/// The configured field.
#[derive(Debug)]
pub struct IdentifierField {
    http: reqwest::Client,
    url: Url,
    name: String,
    recheck: Duration,
    seen: Mutex<Option<Seen>>,
}

/// Which kinds of event had the field, when.
#[derive(Debug)]
struct Seen {
    at: Instant,
    kinds: Result<BTreeSet<String>, FieldFault>,
}

#[derive(Deserialize)]
struct EventConfig {
    id: String,
    #[serde(default)]
    declaration: Form,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    pages: Vec<Page>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Page {
    fields: Vec<Field>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Field {
    id: String,
}

impl IdentifierField {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(
        country_config: &ClientSettings,
        name: String,
        recheck: Duration,
    ) -> Result<Self, reqwest::Error> {
        let mut url = country_config.url.clone();
        url.set_path(&format!("{}/events", country_config.url.path().trim_end_matches('/')));
        Ok(Self { http: client(country_config)?, url, name, recheck, seen: Mutex::new(None) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this kind of event has it. One question is asked at a time, and none while the last answer holds.
    pub async fn defined(&self, kind: &EventKind) -> IdField {
        let mut seen = self.seen.lock().await;
        let holds = seen.as_ref().is_some_and(|seen| {
            let is_yes = matches!(&seen.kinds, Ok(kinds) if kinds.contains(kind.as_str()));
            seen.at.elapsed() < if is_yes { self.recheck } else { PAUSE.min(self.recheck) }
        });
        if !holds {
            let kinds = self.fetch().await;
            if let Err(fault) = &kinds {
                tracing::warn!(error = %fault, "whether the ID's field is defined is not known");
            }
            *seen = Some(Seen { at: Instant::now(), kinds });
        }
        match seen.as_ref().map(|seen| &seen.kinds) {
            Some(Ok(kinds)) if kinds.contains(kind.as_str()) => IdField::Defined,
            Some(Ok(_)) => IdField::Undefined,
            Some(Err(_)) | None => IdField::Unknown,
        }
    }

    /// The kinds of event that have it, by the country's answer of this moment.
    ///
    /// # Errors
    /// [`FieldFault`].
    pub async fn fetch(&self) -> Result<BTreeSet<String>, FieldFault> {
        let answer = self.http.get(self.url.clone()).send().await.map_err(|_| FieldFault::Away)?;
        if !answer.status().is_success() {
            return Err(FieldFault::Status(answer.status().as_u16()));
        }
        let body = whole(answer).await.map_err(|_| FieldFault::Away)?;
        let events: Vec<EventConfig> = serde_json::from_slice(&body).map_err(|_| FieldFault::Unreadable)?;
        let has_it = |event: &EventConfig| {
            event.declaration.pages.iter().flat_map(|page| &page.fields).any(|field| field.id == self.name)
        };
        Ok(events
            .iter()
            .filter(|event| has_it(event))
            .map(|event| EventKind::from_name(&event.id).as_str().to_owned())
            .collect())
    }
}
