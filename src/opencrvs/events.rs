//! The events generation (OpenCRVS 1.9 and 2.x): the event document of
//! `POST /trigger/events/{event}/actions/REGISTER`, turned into the view; and the way back, by tRPC ([`EventsClient`]).
//!
//! Field ids, options and even kinds of event come from each country's own configuration; what is read here are the
//! conventions that all share. What a form hides is still in the document, so the fields that say which others count
//! (`dobUnknown`, `idType`, `detailsNotAvailable`, `addressSameAs`) are looked at first.
//!
//! Invariant: what is missing or odd in a person's data never refuses a registration; only what no answer could be
//! given without does. A refusal here is certain: nothing of the record was kept.

mod action;
mod client;
mod field;
mod merge;
mod person;
mod place;
mod trpc;
mod view;

use crate::domain::{ActionId, EventKind, RecordId, TrackingId};
use action::EventDocument;

pub use client::{Acceptance, ActionState, EventsClient};
pub use field::{FieldFault, IdentifierField};

use super::document::Document;

/// The longest text that is read at all.
const LONGEST: usize = 256;
/// The longest kind of event.
const LONGEST_MARK: usize = 64;

/// Why a body is not a registration that could ever be answered. Holds nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocument {
    /// Nothing was sent.
    #[error("the body is empty: send the event document as JSON")]
    Empty,
    /// Not an event document.
    #[error(
        "the body is not an event document: send the JSON object of the event with id, type, trackingId and actions"
    )]
    NotADocument,
    /// No usable id.
    #[error("the event document has no usable id")]
    NoId,
    /// No kind of event.
    #[error("the event document does not say what type of event it is")]
    NoType,
    /// No tracking id.
    #[error("the event document has no usable trackingId")]
    NoTrackingId,
    /// Nothing to answer.
    #[error(
        "the event document has no requested action that the token is for and that waits for an answer: send the document with all its actions"
    )]
    NoPendingAction,
    /// No time of the attempt.
    #[error(
        "the event's pending action has no createdAt time: attempts of the record cannot be told apart without it"
    )]
    NoCreatedAt,
}

/// Reads an event document; `action` is what the token allows to answer.
///
/// # Errors
/// [`InvalidDocument`] says what is wrong with it and what is expected.
pub fn read(body: &[u8], action: &ActionId) -> Result<Document, InvalidDocument> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(InvalidDocument::Empty);
    }
    let event: EventDocument = serde_json::from_slice(body).map_err(|_| InvalidDocument::NotADocument)?;
    let record = event.id.as_deref().and_then(|id| RecordId::parse(id).ok()).ok_or(InvalidDocument::NoId)?;
    let usable =
        |name: &&str| !name.is_empty() && name.len() <= LONGEST_MARK && !name.chars().any(char::is_control);
    let kind = event.kind.as_deref().map(str::trim).filter(usable).ok_or(InvalidDocument::NoType)?;
    let kind = EventKind::from_name(kind);
    let tracking_id = event.tracking_id.as_deref().and_then(|id| TrackingId::parse(id).ok());
    let tracking_id = tracking_id.ok_or(InvalidDocument::NoTrackingId)?;
    let pending = event.pending(action.as_str()).ok_or(InvalidDocument::NoPendingAction)?;
    let stamp =
        pending.created_at.as_deref().and_then(|at| at.parse().ok()).ok_or(InvalidDocument::NoCreatedAt)?;
    let declaration = merge::declaration(&event.actions, pending);
    let view = view::of(&declaration, &kind, pending);
    let office = view.office.id.clone();
    // The token's action is what will be answered, whatever the document calls it.
    Ok(Document { record, mark: action.as_str().to_owned(), stamp, kind, tracking_id, office, view })
}

#[cfg(test)]
mod tests;
