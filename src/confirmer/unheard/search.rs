//! Finds unheard registrations: they wait in OpenCRVS although no front has them, because no front
//! was there when the trigger came, or because the front died during the call.
//!
//! Core sends a trigger only once. So OpenCRVS is searched for events that may have a pending
//! registration. Those without an open attempt in the ledger are read, and published as a front
//! would publish them.
//!
//! Invariant: taking in a registration that a front or a queue still has does no harm, because both
//! messages are of the same attempt and the record stage recognises the second one. An event with
//! an open attempt is not read, because OpenCRVS notes each read in the event.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::broker::{Outgoing, Publisher};
use crate::domain::order::is_older;
use crate::domain::{AttemptKey, Cause, Dialect, EventKind, RecordId, Registration};
use crate::ledger::{Ledger, LedgerError};
use crate::opencrvs::events::{self, EventSearch, InvalidDocument, Waiting, WaitingEvent};
use crate::opencrvs::{Document, OpencrvsFault, Reading};
use crate::pipeline::stage::StageFault;
use crate::pipeline::{Message as _, RegistrationMessage, targets};
use crate::seal::{Field, Sealer};

/// Why a search or a read could not be done.
#[derive(Debug, thiserror::Error)]
pub enum SearchFault {
    #[error(transparent)]
    Opencrvs(#[from] OpencrvsFault),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Compares what waits in OpenCRVS with the ledger.
#[derive(Clone)]
pub struct UnheardSearch {
    pub ledger: Ledger,
    pub search: EventSearch,
    /// How documents are read.
    pub reading: Reading,
    /// Age below which a pending registration is ignored, because its trigger or the front's
    /// message may still be on its way.
    pub after: Duration,
}

/// A page of events that have no open attempt in the ledger.
#[derive(Debug)]
pub struct UnexplainedPage {
    pub events: Vec<RecordId>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<usize>,
}

/// What the document of an event says.
#[derive(Debug)]
pub enum Finding {
    /// The ledger does not have the pending registration.
    Unheard(Box<Document>),
    /// The ledger has it; its attempt has ended or is parked.
    Known,
    /// It is younger than [`UnheardSearch::after`].
    Young,
    /// OpenCRVS does not know the event, or the event does not wait any more.
    NotWaiting,
    /// The document is not a registration that can be answered.
    Unusable(InvalidDocument),
}

impl UnheardSearch {
    /// A page of events of a kind that have no open attempt in the ledger.
    ///
    /// # Errors
    /// [`SearchFault`].
    pub async fn unexplained(
        &self,
        token: &SecretString,
        kind: &EventKind,
        waiting: Waiting,
        offset: usize,
    ) -> Result<UnexplainedPage, SearchFault> {
        let page = self.search.page(token, kind, waiting, offset).await?;
        let now = Timestamp::now();
        let old: Vec<RecordId> = page
            .events
            .into_iter()
            .filter(|event| self.may_be_old(event, now))
            .map(|event| event.record)
            .collect();
        let open = self.ledger.open_among(&old).await?;
        let events = old.into_iter().filter(|record| !open.contains(record)).collect();
        Ok(UnexplainedPage { events, next: page.next })
    }

    /// Whether the pending action may be old enough. It is newer than the last accepted action,
    /// whose time the search shows.
    fn may_be_old(&self, event: &WaitingEvent, now: Timestamp) -> bool {
        event.updated_at.is_none_or(|at| is_older(at, self.after, now, self.ledger.stamp_tolerance()))
    }

    /// Reads an event and says whether its pending registration is unheard.
    ///
    /// # Errors
    /// [`SearchFault`].
    pub async fn read(&self, token: &SecretString, record: &RecordId) -> Result<Finding, SearchFault> {
        let body = match self.search.document(token, record).await {
            Ok(body) => body,
            Err(OpencrvsFault::EventNotFound) => return Ok(Finding::NotWaiting),
            Err(fault) => return Err(fault.into()),
        };
        let document = match events::read(&body, None, &self.reading) {
            Ok(document) => document,
            Err(InvalidDocument::NoPendingAction) => return Ok(Finding::NotWaiting),
            Err(fault) => return Ok(Finding::Unusable(fault)),
        };
        if document.record != *record {
            return Ok(Finding::Unusable(InvalidDocument::NoId));
        }
        if self.ledger.has_attempt(key_of(&document).id()).await? {
            return Ok(Finding::Known);
        }
        if is_older(document.stamp, self.after, Timestamp::now(), self.ledger.stamp_tolerance()) {
            Ok(Finding::Unheard(Box::new(document)))
        } else {
            Ok(Finding::Young)
        }
    }
}

fn key_of(document: &Document) -> AttemptKey {
    AttemptKey {
        dialect: Dialect::Events,
        record: document.record.clone(),
        mark: document.mark.clone(),
        stamp: document.stamp,
    }
}

/// Publishes registrations that were found, as a front publishes those that it accepts.
#[derive(Clone)]
pub struct TakeIn {
    pub sealer: Arc<Sealer>,
    pub publisher: Publisher,
}

impl TakeIn {
    /// Publishes a registration to the record stage, with the current time as that of acceptance.
    pub(crate) async fn take_in(&self, document: &Document) -> Result<(), StageFault> {
        let outgoing = self.message(document)?;
        Ok(self.publisher.publish(&targets::registrations(), outgoing).await?)
    }

    fn message(&self, document: &Document) -> Result<Outgoing, StageFault> {
        let internal = |_| StageFault::Message(Cause::Internal);
        let view = serde_json::to_vec(&document.view).map_err(internal)?;
        let key = key_of(document);
        let (record, attempt) = (key.record.clone(), key.id());
        let sealed_view = self.sealer.seal(&record, Field::View, &view)?;
        let registration = Registration {
            key,
            kind: document.kind.clone(),
            tracking_id: document.tracking_id.clone(),
            office: document.office.clone(),
            accepted_at: Timestamp::now(),
            wait: Duration::ZERO,
            token_expires_at: None,
            number: None,
            unheard: true,
        };
        RegistrationMessage::new(registration, sealed_view, None).outgoing(attempt, &record).map_err(internal)
    }
}
