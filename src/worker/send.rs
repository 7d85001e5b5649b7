//! Stage *send*: sends the request of an attempt to the ID system.
//!
//! Before the first request of an attempt, OpenCRVS is read ([`SendCheck`]).
//!
//! Invariant: the ledger says *requested* before the ID system can see the request, so that every
//! reply finds its request in the ledger. If a request is sent twice, both have the same text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::Span;

use super::check::{CheckContext, Checked, SendCheck};
use super::request::{RequestSettings, ask_about, open_view};
use crate::broker::{self, Breaker, Delay, Handler, Incoming, Outgoing, PublishError, Publisher, Settlement};
use crate::domain::{AttemptId, Cause, Mismatch, Reason, State, View};
use crate::ledger::{Case, Ledger, LedgerError, Reverted, Stage};
use crate::nid::{Ask, Request, why_not_asked};
use crate::pipeline::NextHop;
use crate::pipeline::stage::{StageFault, note_failure, settled};
use crate::pipeline::{Message as _, RequestMessage, targets};
use crate::seal::Sealer;
use crate::telemetry::{self, Metrics};

pub struct SendStage {
    pub ledger: Ledger,
    pub sealer: Arc<Sealer>,
    /// Publishes to the ID system's vhost.
    pub nid: Publisher,
    pub next: NextHop,
    pub metrics: Arc<Metrics>,
    /// The ledger's breaker.
    pub breaker: Breaker,
    /// The ID system's breaker.
    pub id_system: Breaker,
    pub requests: RequestSettings,
    /// `None`: the ID system is asked without a read in OpenCRVS.
    pub check: Option<SendCheck>,
}

impl Handler for SendStage {
    const NAME: &'static str = "send";

    async fn handle(&self, message: Incoming) -> Settlement {
        settled(Self::NAME, &self.breaker, self.send(&message.body).await)
    }

    async fn delayed(&self, message: &Incoming, cause: broker::Cause, after: Duration) {
        note_failure(&self.ledger, message, cause, after).await;
    }
}

impl SendStage {
    async fn send(&self, body: &[u8]) -> Result<Settlement, StageFault> {
        let message = RequestMessage::read(body).map_err(StageFault::Message)?;
        match self.handle_attempt(message.attempt).await {
            // The attempt changed between the read and the write, perhaps through an earlier copy
            // of this message.
            Err(StageFault::Ledger(LedgerError::Conflict(_))) => self.handle_attempt(message.attempt).await,
            result => result,
        }
    }

    async fn handle_attempt(&self, attempt: AttemptId) -> Result<Settlement, StageFault> {
        let case = self.ledger.case(attempt).await?.ok_or(StageFault::Message(Cause::UnknownAttempt))?;
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
            | State::Closed
            | State::Parked => Ok(Settlement::Done),
        }
    }

    async fn ask(&self, case: Case) -> Result<Settlement, StageFault> {
        let Some(case) = self.numbered(case).await? else { return Ok(Settlement::Done) };
        let view = match open_view(&self.sealer, &case) {
            Ok(view) => view,
            Err(StageFault::Seal(_)) => return self.park(&case, Cause::Unsealable).await,
            Err(fault) => return Err(fault),
        };
        let request = match ask_about(&case, &view, &self.requests) {
            Ok(Ask::Request(request)) => request,
            // The attempt was parked before *record* could decide, and an operator resumed it.
            Ok(Ask::Nothing) if case.attempt.state == State::Received => {
                self.metrics.not_asked(&case.record.kind, why_not_asked(&case.record.kind, &view));
                return self.answer(&case, None).await;
            }
            Ok(Ask::Unfit(reason)) if case.attempt.state == State::Received => {
                return self.answer(&case, Some(&reason)).await;
            }
            // *record* passes on only attempts that the ID system can be asked about, so the
            // release or the mapping has changed since then.
            Ok(Ask::Nothing) => return self.park(&case, Cause::Malformed).await,
            Ok(Ask::Unfit(_)) => return self.park(&case, Cause::Unfit).await,
            Err(cause) => return self.park(&case, cause).await,
        };
        // A delay queue may be shorter than the pause that the ID system wants.
        if let Some(left) = retry_left(&case, Timestamp::now()) {
            return Ok(Settlement::Delay { step: Delay::AtLeast(left), cause: Cause::AskedToRetry.into() });
        }
        if case.attempt.sent_at.is_some() && self.requests.expires_at(&case) <= Timestamp::now() {
            return self.leave_expired(&case).await;
        }
        let checked = match self.look_up(&case, &view).await? {
            None | Some(Checked::Unchecked) => false,
            Some(Checked::Genuine) => true,
            Some(Checked::Withdraw) => return self.withdraw(&case).await,
            Some(Checked::Park(cause)) => return self.park(&case, cause).await,
            Some(Checked::Invented(mismatch)) => return self.park_invented(&case, mismatch).await,
            Some(Checked::Settle(settlement)) => return Ok(settlement),
        };
        let trace = telemetry::remember(&Span::current());
        self.ledger.requested(&case, trace.as_deref(), checked).await?;
        let (published, ()) = tokio::join!(self.publish(&case, request), self.next.keep_copy(&case));
        published?;
        self.ledger.sent(case.attempt.id).await?;
        self.metrics.requested(&case.record.kind);
        tracing::info!(
            record.id = %case.record.id, attempt.id = %case.attempt.id, submission = case.attempt.submission,
            "request sent to the ID system"
        );
        // The record already has an answer, which is the answer of this attempt, too. The request
        // only gave the ID system the corrected data.
        if case.record.usable_answer().is_some() {
            return self.answer(&case, None).await;
        }
        Ok(Settlement::Done)
    }

    /// Gives the record its number if it has none. `None` if the attempt is parked now.
    async fn numbered(&self, case: Case) -> Result<Option<Case>, StageFault> {
        if case.record.number.is_some() {
            return Ok(Some(case));
        }
        let case = self.ledger.give_number(&case, &self.requests.numbers).await?;
        if case.attempt.state == State::Parked {
            self.report_parked(&case, Cause::NumberTaken);
            return Ok(None);
        }
        Ok(Some(case))
    }

    /// Reads in OpenCRVS an attempt that the ID system was not asked about yet.
    async fn look_up(&self, case: &Case, view: &View) -> Result<Option<Checked>, StageFault> {
        let (Some(check), Some(number)) = (&self.check, &case.record.number) else { return Ok(None) };
        if case.attempt.state != State::Received || case.attempt.checked_at.is_some() {
            return Ok(None);
        }
        let (ledger, sealer, metrics) = (&self.ledger, &*self.sealer, &*self.metrics);
        check.check(&CheckContext { ledger, case, view, number, sealer, metrics }).await.map(Some)
    }

    async fn withdraw(&self, case: &Case) -> Result<Settlement, StageFault> {
        self.ledger.withdraw(case, Stage::Send).await?;
        tracing::info!(
            record.id = %case.record.id, attempt.id = %case.attempt.id, attempt.state = State::Withdrawn.as_str(),
            "OpenCRVS moved the record on before the ID system was asked"
        );
        Ok(Settlement::Done)
    }

    /// Ends the delivery without sending, because `expires_at` of the request has passed. The ID
    /// system has the request, and its late reply is accepted.
    async fn leave_expired(&self, case: &Case) -> Result<Settlement, StageFault> {
        if case.record.usable_answer().is_some() {
            return self.answer(case, None).await;
        }
        tracing::info!(record.id = %case.record.id, attempt.id = %case.attempt.id, "the request has expired and is not sent again");
        Ok(Settlement::Done)
    }

    async fn answer(&self, case: &Case, rejection: Option<&Reason>) -> Result<Settlement, StageFault> {
        self.ledger.answer(case, rejection).await?;
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

    /// Parks what OpenCRVS does not have as it was submitted. If OpenCRVS does not have the
    /// submission at all, the attempt that it had superseded goes on.
    async fn park_invented(&self, case: &Case, mismatch: Mismatch) -> Result<Settlement, StageFault> {
        tracing::error!(
            record.id = %case.record.id, attempt.id = %case.attempt.id, mismatch = mismatch.as_str(),
            "OpenCRVS does not have the registration as it was submitted to the bridge"
        );
        let Reverted { revived, orphan } = if mismatch == Mismatch::Submission {
            self.ledger.park_absent(case, Stage::Send, Cause::NotInOpencrvs).await?
        } else {
            self.ledger.park_mismatch(case, Stage::Send, mismatch).await?;
            Reverted::default()
        };
        self.metrics.alarm(Cause::NotInOpencrvs);
        if orphan {
            self.metrics.alarm(Cause::OrphanId);
            tracing::error!(
                record.id = %case.record.id, cause = Cause::OrphanId.as_str(),
                "an operator is needed: see `nidbridge causes`"
            );
        }
        if let Some(attempt) = revived
            && let Some(genuine) = self.ledger.case(attempt).await?
        {
            tracing::info!(record.id = %case.record.id, attempt.id = %attempt, "the superseded attempt goes on");
            self.next.drive(&genuine).await?;
        }
        Ok(Settlement::Done)
    }

    async fn park(&self, case: &Case, cause: Cause) -> Result<Settlement, StageFault> {
        self.ledger.park(case, Stage::Send, cause).await?;
        self.report_parked(case, cause);
        Ok(Settlement::Done)
    }

    fn report_parked(&self, case: &Case, cause: Cause) {
        self.metrics.alarm(cause);
        tracing::error!(record.id = %case.record.id, cause = cause.as_str(), "registration parked: see `nidbridge causes`");
    }
}

/// Time left before the ID system wants to be asked again. Up to a second is ignored, because the
/// clocks of broker and ledger may differ by that much.
fn retry_left(case: &Case, now: Timestamp) -> Option<Duration> {
    let next = case.attempt.next_try_at.filter(|_| case.attempt.retries > 0)?;
    let left = Duration::try_from(next.duration_since(now)).ok()?;
    (left > Duration::from_secs(1)).then_some(left)
}
