//! What the front needs of a document of either generation.

use jiff::Timestamp;

use crate::domain::{EventKind, RecordId, TrackingId, View};

/// What the front needs of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// `Composition.id` (FHIR) or the event's id (events).
    pub record: RecordId,
    /// `Task.lastModified` as it is written (FHIR), or the id of the pending action (events).
    pub mark: String,
    /// `Task.lastModified` (FHIR), or the pending action's `createdAt` (events).
    pub stamp: Timestamp,
    /// The kind of event.
    pub kind: EventKind,
    /// The tracking id.
    pub tracking_id: TrackingId,
    /// The registration office: its code (FHIR) or its id (events, which have no codes).
    pub office: Option<String>,
    /// What is kept of it.
    pub view: View,
}
