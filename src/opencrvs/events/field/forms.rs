//! Reads the fields of the country's forms from its configuration service.
//!
//! Invariant: a valid response from either path is enough. The path of the last valid response is
//! tried first, unless it has failed since.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::domain::{CountryForms, EventKind, FieldPath};
use crate::opencrvs::call::{CallFault, ClientSettings, HttpClient, send};

/// The path of the event configurations from 2.0, and the one of 1.9.
const PATHS: [&str; 2] = ["config/events", "events"];

/// Why the forms are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormsFault {
    #[error(
        "the country's configuration service does not answer: check COUNTRY_CONFIG_URL and that it is up"
    )]
    Unavailable,
    #[error("the country's configuration service answers GET /{path} with HTTP {status}: see its log")]
    Status { path: &'static str, status: u16 },
    #[error(
        "the country's configuration service has neither GET /config/events nor GET /events: check COUNTRY_CONFIG_URL"
    )]
    NotFound,
    #[error(
        "the country's configuration service answers GET /{path} with no list of event configurations: check \
         COUNTRY_CONFIG_URL"
    )]
    Unreadable { path: &'static str },
}

#[derive(Debug)]
pub(super) struct FormsClient {
    client: HttpClient,
    /// The path of the last valid response, if it has not failed since.
    answered: Option<&'static str>,
}

/// The form is a member of the event or, in the newest configurations, of its action DECLARE.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventConfig {
    id: String,
    #[serde(default)]
    declaration: FormConfig,
    #[serde(default)]
    actions: Vec<ActionConfig>,
    /// `{"$$field": "eventDetails.date"}`. A reference to the metadata of the event has another
    /// member.
    #[serde(default)]
    date_of_event: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ActionConfig {
    declaration: Option<FormConfig>,
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

impl FormsClient {
    pub(super) fn new(country_config: &ClientSettings) -> Result<Self, reqwest::Error> {
        Ok(Self { client: HttpClient::new(country_config)?, answered: None })
    }

    /// Fetches the forms. Of their fields, the result holds only those that are among `names`.
    pub(super) async fn fetch(&mut self, names: &BTreeSet<&str>) -> Result<CountryForms, FormsFault> {
        let mut paths = PATHS;
        // If this call is cancelled, no path is remembered.
        if self.answered.take() == Some(PATHS[1]) {
            paths.reverse();
        }
        let mut first = None;
        for path in paths {
            match self.ask(path).await {
                Ok(events) => {
                    self.answered = Some(path);
                    return Ok(forms(events, names));
                }
                // Both paths are of the same service.
                Err(FormsFault::Unavailable) => return Err(first.unwrap_or(FormsFault::Unavailable)),
                Err(fault) => first = Some(worse(first, fault)),
            }
        }
        Err(match first {
            Some(FormsFault::Status { status: 404, .. }) | None => FormsFault::NotFound,
            Some(fault) => fault,
        })
    }

    async fn ask(&self, path: &'static str) -> Result<Vec<EventConfig>, FormsFault> {
        let response = send(self.client.get(path)).await.map_err(|_| FormsFault::Unavailable)?;
        if !response.status().is_success() {
            return Err(FormsFault::Status { path, status: response.status().as_u16() });
        }
        let body = response.body().await.map_err(|fault| match fault {
            CallFault::TooLong => FormsFault::Unreadable { path },
            CallFault::NotSent | CallFault::NoTls | CallFault::TimedOut | CallFault::BrokenOff => {
                FormsFault::Unavailable
            }
        })?;
        serde_json::from_slice(&body).map_err(|_| FormsFault::Unreadable { path })
    }
}

/// The fault to report: any other fault before a 404, which only says that this release has the
/// other path.
fn worse(first: Option<FormsFault>, second: FormsFault) -> FormsFault {
    match first {
        Some(FormsFault::Status { status: 404, .. }) | None => second,
        Some(fault) => fault,
    }
}

fn forms(events: Vec<EventConfig>, names: &BTreeSet<&str>) -> CountryForms {
    let mut forms = CountryForms::default();
    for event in events {
        let kind = EventKind::from_name(&event.id).as_str().to_owned();
        let of_actions = event.actions.into_iter().filter_map(|action| action.declaration);
        let pages = [event.declaration].into_iter().chain(of_actions).flat_map(|form| form.pages);
        let fields = pages.flat_map(|page| page.fields);
        let wanted = fields.map(|field| field.id).filter(|id| names.contains(id.as_str()));
        forms.fields.entry(kind.clone()).or_default().extend(wanted);
        if let Some(path) = event.date_of_event.as_ref().and_then(field_path) {
            forms.dates.insert(kind, path);
        }
    }
    forms
}

fn field_path(reference: &Value) -> Option<FieldPath> {
    let field = reference.get("$$field")?.as_str().filter(|field| !field.is_empty())?.to_owned();
    let parts = reference.get("$$subfield").and_then(Value::as_array).into_iter().flatten();
    Some(FieldPath { field, parts: parts.filter_map(Value::as_str).map(str::to_owned).collect() })
}
