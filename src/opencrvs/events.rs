//! The events generation (OpenCRVS 1.9 and 2.x): reads event documents into the view, and answers
//! through tRPC ([`EventsClient`]).
//!
//! OpenCRVS sends a document with `POST /trigger/events/{event}/actions/REGISTER`.
//!
//! Each country configures the ids of fields, their options and even the kinds of event. This
//! module reads only the conventions that all countries share, after `sources` has brought the
//! country's own fields into them. A document also contains values that the form hides, so this
//! module first reads the fields that say which other fields count (`dobUnknown`, `idType`,
//! `detailsNotAvailable`, `addressSameAs`).
//!
//! Source: `events` of opencrvs-core, v1.9.0–v2.1.0, and the forms of farajaland v1.9.11.
//!
//! Invariant: missing or malformed personal data never causes a refusal; a document is refused only
//! if it lacks what every answer needs. A refused document leaves nothing in the ledger.

mod action;
mod client;
mod field;
mod merge;
mod person;
mod place;
mod search;
mod sources;
mod trpc;
mod view;

use crate::domain::{ActionId, EventKind, RecordId, TrackingId, Unbuilt};
use action::{Action, EventDocument};

pub use client::{Acceptance, ActionState, Bearer, EventState, EventsClient, FoundAction, PendingAction};
pub use field::{FormsFault, MappedFields, SourceCheck};

pub use search::{EventSearch, Waiting, WaitingEvent, WaitingPage};

use super::document::Document;
use super::reading::Reading;

/// Limit of a reference, a type or an answer, in characters. A longer text counts as absent.
const LONGEST: usize = 256;
/// Limit of a kind of event or of a user's id, in bytes.
const LONGEST_MARK: usize = 64;

/// Why a body is not a registration that can be answered. Contains no text from the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocument {
    #[error("the body is empty: send the event document as JSON")]
    Empty,
    #[error(
        "the body is not an event document: send the JSON object of the event with id, type, trackingId and actions"
    )]
    NotADocument,
    #[error("the event document has no usable id: send the id of the event")]
    NoId,
    #[error("the event document does not say what type of event it is: send its type")]
    NoType,
    #[error("the event document has no usable trackingId: send the trackingId of the event")]
    NoTrackingId,
    #[error(
        "no REGISTER action of the event document waits for an answer with this token: send the document with all its actions"
    )]
    NoPendingAction,
    #[error(
        "the event's pending action has no createdAt time: attempts of the record cannot be told apart without it"
    )]
    NoCreatedAt,
    #[error(
        "the event document has more actions, or a declaration more values, than any registration: send the \
         document as OpenCRVS has it"
    )]
    TooCostly,
}

impl From<Unbuilt> for InvalidDocument {
    fn from(unbuilt: Unbuilt) -> Self {
        match unbuilt {
            Unbuilt::NotJson => Self::NotADocument,
            Unbuilt::TooCostly => Self::TooCostly,
        }
    }
}

/// Reads an event document. `action` is the action that the action token names; the token can
/// answer no other one, whatever the document says. Without an action token, the registration is
/// the last REGISTER in the document that waits for an answer.
///
/// # Errors
/// [`InvalidDocument`].
pub fn read(body: &[u8], action: Option<&ActionId>, reading: &Reading) -> Result<Document, InvalidDocument> {
    read_pending(body, reading, |event| match action {
        Some(action) => Some((event.pending(action.as_str())?, action.clone())),
        None => event.last_open(|_| true),
    })
}

/// Reads an event document in which this action waits for an answer. For a service token that names
/// an action.
///
/// # Errors
/// [`InvalidDocument`].
pub fn read_bound(body: &[u8], action: &ActionId, reading: &Reading) -> Result<Document, InvalidDocument> {
    read_pending(body, reading, |event| event.last_open(|open| open == action))
}

fn read_pending(
    body: &[u8],
    reading: &Reading,
    pending: impl for<'e, 'a> FnOnce(&'e EventDocument<'a>) -> Option<(&'e Action<'a>, ActionId)>,
) -> Result<Document, InvalidDocument> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(InvalidDocument::Empty);
    }
    let event = EventDocument::read(body)?;
    let record = event.id.as_deref().and_then(|id| RecordId::parse(id).ok()).ok_or(InvalidDocument::NoId)?;
    let usable =
        |name: &&str| !name.is_empty() && name.len() <= LONGEST_MARK && !name.chars().any(char::is_control);
    let kind = event.kind.as_deref().map(str::trim).filter(usable).ok_or(InvalidDocument::NoType)?;
    let kind = EventKind::from_name(kind);
    let tracking_id = event.tracking_id.as_deref().and_then(|id| TrackingId::parse(id).ok());
    let tracking_id = tracking_id.ok_or(InvalidDocument::NoTrackingId)?;
    let (pending, action) = pending(&event).ok_or(InvalidDocument::NoPendingAction)?;
    let stamp =
        pending.created_at.as_deref().and_then(|at| at.parse().ok()).ok_or(InvalidDocument::NoCreatedAt)?;
    let declaration = merge::declaration(&event.actions, pending)?;
    let declaration = sources::conventional(&declaration, &kind, reading);
    let mut view = view::of(&declaration, &kind, pending, &reading.identifier_type);
    reading.localise(&mut view);
    let office = view.office.id.clone();
    Ok(Document { record, mark: action.to_string(), stamp, kind, tracking_id, office, view })
}

#[cfg(test)]
mod tests;
