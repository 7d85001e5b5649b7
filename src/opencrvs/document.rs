//! The registration that a document contains, in the same form for both generations.

use jiff::Timestamp;

use crate::domain::{EventKind, RecordId, TrackingId, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// `Composition.id` (FHIR) or the event's id (events).
    pub record: RecordId,
    /// Identifies the attempt: the text of `Task.lastModified` (FHIR), or the id of the pending
    /// action (events).
    pub mark: String,
    /// Orders the attempts: `Task.lastModified` (FHIR), or `createdAt` of the pending action
    /// (events).
    pub stamp: Timestamp,
    pub kind: EventKind,
    pub tracking_id: TrackingId,
    /// The registration office: its code (FHIR), or its id (events, where offices have no codes).
    pub office: Option<String>,
    pub view: View,
}
