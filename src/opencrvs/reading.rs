//! How documents of OpenCRVS are read: by the settings, and by what is known of the country's
//! forms.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::{Dialect, EventKind, FieldPath, FieldSources};

/// The type of identifier that stands for the national ID unless the country has another one.
pub(super) const NATIONAL_ID: &str = "NATIONAL_ID";

/// The rules by which both generations are read. Clones share what is known of the forms.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The type of identifier under which OpenCRVS keeps the national ID.
    pub identifier_type: String,
    pub fhir: FieldSources,
    pub events: FieldSources,
    /// The field with the date of the event, by kind of event. Empty until the forms were read.
    dates: Arc<RwLock<BTreeMap<String, FieldPath>>>,
}

impl Reading {
    pub fn new(identifier_type: String, fhir: FieldSources, events: FieldSources) -> Self {
        Self { identifier_type, fhir, events, dates: Arc::default() }
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
