//! The fields that an answer writes, checked against the country's forms.
//!
//! In the events generation a record has no identifiers, so the ID goes into a field of the
//! declaration. Up to 2.0, core stores any field that it is sent, but a field that the country's
//! forms do not define breaks every view of that record for good.
//!
//! Source: the country's configuration service has its forms at `GET /events` in 1.9, and at
//! `GET /config/events` from 2.0 (core v1.9.15 and v2.0.0, `packages/events/src/service/config`).
//!
//! Invariant: a field is written only if the country's configuration defines it, according to a
//! response that is not older than `recheck`. At most one answer at a time waits for a response.

mod forms;
mod sources;

use std::collections::BTreeSet;
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::domain::{
    Answer, EventKind, FieldMapping, FieldStanding, Forms, MissingField, RegistrationNumber, WrittenFields,
};
use crate::opencrvs::call::ClientSettings;
use forms::FormsClient;

pub use forms::FormsFault;
pub use sources::SourceCheck;

/// Shortest time between two requests while a field is not known to be defined, unless `recheck` is
/// shorter.
const PAUSE: Duration = Duration::from_secs(5);

/// The fields that answers write, and what is known of the country's forms.
#[derive(Debug)]
pub struct MappedFields {
    mapping: FieldMapping,
    recheck: Duration,
    /// Locked while a request is in flight.
    client: Mutex<FormsClient>,
    last: StdMutex<Option<LastFetch>>,
}

#[derive(Debug)]
struct LastFetch {
    at: Instant,
    /// Holds only mapped fields.
    forms: Result<Forms, FormsFault>,
}

impl LastFetch {
    fn standing(&self, kind: &EventKind, names: &BTreeSet<&str>) -> FieldStanding {
        let Ok(forms) = &self.forms else { return FieldStanding::Unknown };
        let form = forms.get(kind.as_str());
        let is_missing = |name: &&str| !form.is_some_and(|form| form.contains(*name));
        let which: Vec<String> = names.iter().copied().filter(is_missing).map(str::to_owned).collect();
        if which.is_empty() { FieldStanding::Defined } else { FieldStanding::Undefined { which } }
    }
}

impl MappedFields {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(
        country_config: &ClientSettings,
        mapping: FieldMapping,
        recheck: Duration,
    ) -> Result<Self, reqwest::Error> {
        let client = Mutex::new(FormsClient::new(country_config)?);
        Ok(Self { mapping, recheck, client, last: StdMutex::new(None) })
    }

    pub fn mapping(&self) -> &FieldMapping {
        &self.mapping
    }

    /// The fields that this answer writes, with their values.
    pub fn evaluate(&self, kind: &EventKind, answer: &Answer, number: &RegistrationNumber) -> WrittenFields {
        self.mapping.evaluate(kind, answer, number)
    }

    /// Whether the form of this kind defines all fields that this answer writes. Sends one request
    /// at a time, and none while the last response is fresh. While another task's request is in
    /// flight, the last response decides; if it is too old to permit a write, the result is
    /// unknown.
    pub async fn standing(&self, kind: &EventKind, answer: &Answer) -> FieldStanding {
        let names: BTreeSet<&str> = self.mapping.names(kind, answer).collect();
        if names.is_empty() {
            return FieldStanding::NotWanted;
        }
        let known = self.last().as_ref().map(|last| (last.standing(kind, &names), last.at.elapsed()));
        if let Some((standing, age)) = &known
            && self.is_recent(standing, *age)
        {
            return standing.clone();
        }
        let Ok(mut client) = self.client.try_lock() else {
            let known = known.map(|(standing, _)| standing);
            return known
                .filter(|standing| *standing != FieldStanding::Defined)
                .unwrap_or(FieldStanding::Unknown);
        };
        let forms = client.fetch(&self.mapping.all_names()).await.map(|answer| answer.fields);
        if let Err(fault) = &forms {
            tracing::warn!(error = %fault, "the country's forms could not be read: answers that write fields wait");
        }
        let last = LastFetch { at: Instant::now(), forms };
        let standing = last.standing(kind, &names);
        *self.last() = Some(last);
        standing
    }

    /// Whether a response of this age still decides.
    fn is_recent(&self, standing: &FieldStanding, age: Duration) -> bool {
        let is_defined = *standing == FieldStanding::Defined;
        age < if is_defined { self.recheck } else { PAUSE.min(self.recheck) }
    }

    /// Fetches the forms, and returns the mapped fields that they do not define.
    ///
    /// # Errors
    /// [`FormsFault`].
    pub async fn missing(&self) -> Result<Vec<MissingField>, FormsFault> {
        let forms = self.client.lock().await.fetch(&self.mapping.all_names()).await?.fields;
        let missing = self.mapping.missing(&forms);
        *self.last() = Some(LastFetch { at: Instant::now(), forms: Ok(forms) });
        Ok(missing)
    }

    fn last(&self) -> MutexGuard<'_, Option<LastFetch>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
