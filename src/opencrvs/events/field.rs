//! The field for the issued ID, checked against the country's configuration.
//!
//! In the events generation a record has no identifiers, so the ID goes into a field of the
//! declaration. Core stores any field that it is sent, but a field that the country's forms do not
//! define breaks every view of that record for good.
//!
//! Source: `GET /events` of a country configuration, 1.9.
//!
//! Invariant: the ID is written only into a field that the country's configuration defines,
//! according to a response that is not older than `recheck`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::domain::{EventKind, IdField};
use crate::opencrvs::call::{CallFault, ClientSettings, HttpClient, send};

/// Shortest time between two requests while the field is not known to be defined. If `recheck` is
/// shorter, it is used instead.
const PAUSE: Duration = Duration::from_secs(5);

/// Why the country's configuration is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    #[error(
        "the country's configuration service does not answer: check COUNTRY_CONFIG_URL and that it is up"
    )]
    Unavailable,
    #[error("the country's configuration service answers GET /events with HTTP {0}")]
    Status(u16),
    #[error(
        "the country's configuration service does not answer GET /events with a list of event configurations"
    )]
    Unreadable,
}

/// The field that `CONFIRM_IDENTIFIER_FIELD` names, and the kinds of event that define it.
#[derive(Debug)]
pub struct IdentifierField {
    client: HttpClient,
    name: String,
    recheck: Duration,
    last: Mutex<Option<LastFetch>>,
}

#[derive(Debug)]
struct LastFetch {
    at: Instant,
    /// The kinds of event that defined the field.
    kinds: Result<BTreeSet<String>, FieldFault>,
}

impl LastFetch {
    fn defines(&self, kind: &EventKind) -> bool {
        matches!(&self.kinds, Ok(kinds) if kinds.contains(kind.as_str()))
    }
}

#[derive(Deserialize)]
struct EventConfig {
    id: String,
    #[serde(default)]
    declaration: FormConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FormConfig {
    pages: Vec<PageConfig>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PageConfig {
    fields: Vec<FieldConfig>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FieldConfig {
    id: String,
}

impl EventConfig {
    fn has_field(&self, name: &str) -> bool {
        self.declaration.pages.iter().flat_map(|page| &page.fields).any(|field| field.id == name)
    }
}

impl IdentifierField {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(
        country_config: &ClientSettings,
        name: String,
        recheck: Duration,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self { client: HttpClient::new(country_config)?, name, recheck, last: Mutex::new(None) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this kind of event defines the field. Sends one request at a time, and none while
    /// the last response is fresh.
    pub async fn defined(&self, kind: &EventKind) -> IdField {
        let mut last = self.last.lock().await;
        let is_fresh = last.as_ref().is_some_and(|fetch| {
            let limit = if fetch.defines(kind) { self.recheck } else { PAUSE.min(self.recheck) };
            fetch.at.elapsed() < limit
        });
        if !is_fresh {
            let kinds = self.fetch().await;
            if let Err(fault) = &kinds {
                tracing::warn!(error = %fault, "whether the forms define the field for the ID is not known");
            }
            *last = Some(LastFetch { at: Instant::now(), kinds });
        }
        match last.as_ref() {
            Some(fetch) if fetch.defines(kind) => IdField::Defined,
            Some(LastFetch { kinds: Ok(_), .. }) => IdField::Undefined,
            Some(LastFetch { kinds: Err(_), .. }) | None => IdField::Unknown,
        }
    }

    /// Fetches the kinds of event that define the field.
    ///
    /// # Errors
    /// [`FieldFault`].
    pub async fn fetch(&self) -> Result<BTreeSet<String>, FieldFault> {
        let response = send(self.client.get("events")).await.map_err(|_| FieldFault::Unavailable)?;
        if !response.status().is_success() {
            return Err(FieldFault::Status(response.status().as_u16()));
        }
        let body = response.body().await.map_err(|fault| match fault {
            CallFault::TooLong => FieldFault::Unreadable,
            CallFault::NotSent | CallFault::TimedOut | CallFault::BrokenOff => FieldFault::Unavailable,
        })?;
        let events: Vec<EventConfig> = serde_json::from_slice(&body).map_err(|_| FieldFault::Unreadable)?;
        let defining = events.iter().filter(|event| event.has_field(&self.name));
        Ok(defining.map(|event| EventKind::from_name(&event.id).as_str().to_owned()).collect())
    }
}
