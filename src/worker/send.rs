//! Stage *send*: the request of an attempt goes to the ID system.
//!
//! Invariant: the ledger says *requested* before the request can be seen by the ID system, so that an answer never
//! finds nothing to answer; a request that is sent twice is the same text twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::Span;

use super::request::{RequestSettings, ask_about, open_view};
use crate::broker::{Breaker, Handler, Incoming, Outgoing, PublishError, Publisher, Settlement};
use crate::domain::{AttemptId, Cause, Reason, State};
use crate::ledger::{Case, Ledger, LedgerError, Stage};
use crate::nid::{Ask, Request};
use crate::pipeline::NextHop;
use crate::pipeline::stage::{StageFault, settled};
use crate::pipeline::{Message as _, RequestMessage, targets};
use crate::seal::Sealer;
use crate::telemetry::{self, Metrics};

/// The stage.
pub struct SendStage {
    /// What was recorded.
    pub ledger: Ledger,
    /// Opens the view.
    pub sealer: Arc<Sealer>,
    /// Publishes to the ID system's vhost.
    pub nid: Publisher,
    /// Where an attempt goes on whose record has its answer already.
    pub next: NextHop,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The ledger's breaker.
    pub breaker: Breaker,
    /// The ID system's.
    pub id_system: Breaker,
    pub requests: RequestSettings,
}

impl Handler for SendStage {
    const NAME: &'static str = "send";

    async fn handle(&self, message: Incoming) -> Settlement {
        settled(Self::NAME, &self.breaker, self.send(&message.body).await)
    }
}

impl SendStage {
    async fn send(&self, body: &[u8]) -> Result<Settlement, StageFault> {
        let message = RequestMessage::read(body).map_err(StageFault::Message)?;
        match self.turn(message.attempt).await {
            // The attempt moved on between our reading and our writing, by an earlier copy of this message perhaps.
            Err(StageFault::Ledger(LedgerError::Conflict(_))) => self.turn(message.attempt).await,
            result => result,
        }
    }

    async fn turn(&self, attempt: AttemptId) -> Result<Settlement, StageFault> {
        let case = self.ledger.case(attempt).await?.ok_or(StageFault::Message(Cause::UnknownRequest))?;
        match case.attempt.state {
            State::Received | State::Requested if case.is_newest() => self.ask(case).await,
            State::Answered => self.next.drive(&case).await.map(|()| Settlement::Done),
            State::Received
            | State::Requested
            | State::Confirmed
            | State::Rejected
            | State::Superseded
            | State::Withdrawn
            | State::Held
            | State::Expired
            | State::Parked => Ok(Settlement::Done),
        }
    }

    async fn ask(&self, case: Case) -> Result<Settlement, StageFault> {
        let view = match open_view(&self.sealer, &case) {
            Ok(view) => view,
            Err(StageFault::Seal(_)) => return self.park(&case, Cause::Unsealable).await,
            Err(fault) => return Err(fault),
        };
        let request = match ask_about(&case, &view, &self.requests) {
            Some(Ask::Request(request)) => request,
            // It stopped before *record* could decide, and an operator has let it go on.
            Some(Ask::Nothing) if case.attempt.state == State::Received => {
                return self.answer(&case, None).await;
            }
            Some(Ask::Unfit(reason)) if case.attempt.state == State::Received => {
                return self.answer(&case, Some(&reason)).await;
            }
            // *record* sends only what can be asked; the release or the mapping has changed since.
            Some(Ask::Nothing | Ask::Unfit(_)) => return self.park(&case, Cause::Malformed).await,
            None => return self.park(&case, Cause::NumberTaken).await,
        };
        let trace = telemetry::remember(&Span::current());
        self.ledger.requested(&case, trace.as_deref()).await?;
        self.publish(&case, request).await?;
        self.ledger.sent(case.attempt.id).await?;
        self.metrics.requested(&case.record.kind);
        tracing::info!(
            record.id = %case.record.id, attempt.id = %case.attempt.id, submission = case.attempt.submission,
            "request sent to the ID system"
        );
        // An ID that is known belongs to this attempt as well; the ID system still gets the corrected data.
        if case.record.usable_answer().is_some() {
            return self.answer(&case, None).await;
        }
        Ok(Settlement::Done)
    }

    async fn answer(&self, case: &Case, otherwise: Option<&Reason>) -> Result<Settlement, StageFault> {
        self.ledger.answer(case, otherwise).await?;
        if let Some(answered) = self.ledger.case(case.attempt.id).await? {
            self.next.drive(&answered).await?;
        }
        Ok(Settlement::Done)
    }

    async fn publish(&self, case: &Case, request: Request) -> Result<(), StageFault> {
        let to = targets::nid_requests(request.kind.name);
        let mut headers = BTreeMap::new();
        headers.insert("reply_to".to_owned(), format!("reply.{}", request.kind.name));
        let outgoing = Outgoing {
            id: format!("{}:{}", case.record.request, case.attempt.submission),
            kind: request.kind.event_type,
            content_type: "application/cloudevents+json",
            correlation_id: Some(case.record.request.to_string()),
            headers,
            body: request.body,
        };
        let published = self.nid.publish(&to, outgoing).await;
        match &published {
            Ok(()) | Err(PublishError::TooLarge) => self.id_system.worked(),
            Err(_) => self.id_system.failed(),
        }
        published.map_err(StageFault::IdSystem)
    }

    async fn park(&self, case: &Case, cause: Cause) -> Result<Settlement, StageFault> {
        self.ledger.park(case, Stage::Send, cause).await?;
        self.metrics.alarm(cause);
        tracing::error!(record.id = %case.record.id, cause = cause.as_str(), "registration parked");
        Ok(Settlement::Done)
    }
}
