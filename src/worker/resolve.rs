//! Stage *resolve*: checks a reply of the ID system against its schema and the ledger, and
//! publishes the outcome.
//!
//! Invariant: a reply that cannot be applied stays visible, either in the history of the record
//! that it names, or sealed in the parking queue with its cause. It never changes an answer that is
//! already known.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument as _, Span};

use crate::broker::{Breaker, Handler, Incoming, Settlement};
use crate::domain::retry::retry_pause;
use crate::domain::{Cause, RecordId, RequestId};
use crate::ledger::{Case, Ledger, Resolution, VendorReply};
use crate::nid::{Malformed, RefusedReply, Reply, Status};
use crate::pipeline::NextHop;
use crate::pipeline::stage::{StageFault, chain, delay, settled};
use crate::seal::{Field, Sealer};
use crate::telemetry::{self, Metrics};

/// A refused reply is cut to this length, in bytes, before it is parked. A longer message may
/// exceed the broker's limit; the reply would then be delivered again until the broker itself parks
/// it, unsealed and without a cause.
const PARKED_MAX: usize = 1024 * 1024;

pub struct ResolveStage {
    pub ledger: Ledger,
    pub sealer: Arc<Sealer>,
    pub next: NextHop,
    pub metrics: Arc<Metrics>,
    /// The ledger's breaker.
    pub breaker: Breaker,
    /// The longest reply that is read, in bytes.
    pub max_bytes: usize,
}

impl Handler for ResolveStage {
    const NAME: &'static str = "resolve";

    async fn handle(&self, message: Incoming) -> Settlement {
        let resolved = match Reply::read(&message.body, self.max_bytes) {
            Ok(reply) => {
                self.metrics.replied(reply.status.label());
                let request = reply.request;
                self.resolve(reply).await.map(|cause| match cause {
                    // A reply that matches the schema can still have a status that does not fit the
                    // request.
                    Some(cause @ Cause::Malformed) => {
                        self.park(&message, cause, &RefusedReply { part: "status", request })
                    }
                    Some(cause) => self.park(&message, cause, &RefusedReply { part: "request_id", request }),
                    None => Settlement::Done,
                })
            }
            Err(malformed) => self.refuse(&message, malformed).await,
        };
        settled(Self::NAME, &self.breaker, resolved)
    }
}

impl ResolveStage {
    /// Returns a cause if the reply must be parked, because the ledger does not have its request,
    /// or because it answers a birth as a death or a death as a birth.
    async fn resolve(&self, reply: Reply) -> Result<Option<Cause>, StageFault> {
        let Some((request, record)) = self.asked(reply.request).await? else {
            return Ok(Some(Cause::UnknownRequest));
        };
        let after = match reply.status {
            Status::Retry(seconds) => seconds.map(|s| Duration::from_secs(s.into())),
            Status::Issued(_) | Status::Recorded | Status::Rejected(_) | Status::Pending => None,
        };
        let status = reply.status.label();
        let vendor_reply = self.vendor_reply(&record, reply.status)?;
        let resolution = self.ledger.resolve(&record, reply.submission, &vendor_reply).await?;
        tracing::info!(record.id = %record, request.id = %request, status, resolution = ?resolution, "reply handled");
        match resolution {
            Resolution::Answered(attempt) => {
                if let Some(case) = self.ledger.case(attempt).await? {
                    self.next.drive(&case).instrument(span(&case)).await?;
                }
            }
            Resolution::AskAgain { attempt, too_often } => {
                if too_often {
                    self.metrics.alarm(Cause::AskedTooOften);
                    tracing::error!(
                        record.id = %record, cause = Cause::AskedTooOften.as_str(),
                        "the ID system keeps asking for a retry: see `nidbridge causes`"
                    );
                }
                if let Some(case) = self.ledger.case(attempt).await? {
                    let after = after.unwrap_or_else(|| retry_pause(case.attempt.retries));
                    self.ledger.ask_again_after(attempt, after).await?;
                    self.next.ask_again(&case, after).instrument(span(&case)).await?;
                }
            }
            Resolution::Noted => {}
            Resolution::Refused(cause) => {
                self.alarm(&record, cause);
                // Parked, so that an operator is alerted to the vendor's fault.
                if cause == Cause::Malformed {
                    return Ok(Some(cause));
                }
            }
            Resolution::Unknown => return Ok(Some(Cause::UnknownRequest)),
        }
        Ok(None)
    }

    /// Parks a reply that does not match its schema. If it names a request, the record's history
    /// says so.
    async fn refuse(&self, message: &Incoming, malformed: Malformed) -> Result<Settlement, StageFault> {
        let correlated = || RequestId::parse(message.correlation_id.as_deref()?).ok();
        let request = Reply::addressed_request(&message.body, self.max_bytes).or_else(correlated);
        let refused = RefusedReply { part: malformed.part(), request };
        let asked = self.asked(request).await?;
        tracing::warn!(
            error = %malformed, bytes = message.body.len(), record.id = asked.as_ref().map(|(_, record)| record.as_str()),
            "a reply does not match its schema"
        );
        if let Some((_, record)) = asked {
            self.ledger.note_malformed_reply(&record, refused.part).await?;
        }
        Ok(self.park(message, Cause::Malformed, &refused))
    }

    async fn asked(&self, request: Option<RequestId>) -> Result<Option<(RequestId, RecordId)>, StageFault> {
        let Some(request) = request else { return Ok(None) };
        Ok(self.ledger.record_of(request).await?.map(|record| (request, record)))
    }

    fn vendor_reply(&self, record: &RecordId, status: Status) -> Result<VendorReply, StageFault> {
        Ok(match status {
            Status::Issued(id) => VendorReply::Issued(self.ledger.seal_id(&self.sealer, record, &id)?),
            Status::Recorded => VendorReply::Recorded,
            Status::Rejected(reason) => VendorReply::Rejected(reason),
            Status::Retry(_) => VendorReply::Retry,
            Status::Pending => VendorReply::Pending,
        })
    }

    fn alarm(&self, record: &RecordId, cause: Cause) {
        self.metrics.alarm(cause);
        tracing::error!(record.id = %record, cause = cause.as_str(), "a reply was refused: see `nidbridge causes`");
    }

    /// Seals the reply before it is parked, because it may hold personal data.
    fn park(&self, message: &Incoming, cause: Cause, refused: &RefusedReply) -> Settlement {
        let owner = message.id.as_deref().unwrap_or("reply");
        let kept = message.body.get(..PARKED_MAX).unwrap_or(&message.body);
        match self.sealer.seal_as(owner, Field::ParkedBody, kept) {
            Ok(sealed) => Settlement::Park {
                cause: cause.into(),
                body: Some(sealed.into_bytes()),
                detail: Some(refused.to_string()),
            },
            Err(fault) => {
                tracing::error!(error = %chain(&fault), "a refused reply could not be sealed");
                delay(Cause::Internal)
            }
        }
    }
}

/// A span that continues the trace in which the request was sent, so the ID system need not pass
/// the trace context on.
fn span(case: &Case) -> Span {
    let span = tracing::info_span!("answer", record.id = %case.record.id, attempt.id = %case.attempt.id);
    if let Some(trace) = &case.attempt.trace {
        telemetry::resume(&span, trace);
    }
    span
}
