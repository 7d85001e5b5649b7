//! Answers an action of the events generation: accepts or rejects it.
//!
//! Both calls are idempotent per action, so there is no quarantine: a call whose result is unknown
//! is repeated. A call that arrives late does no harm either, because core refuses an action that
//! it has answered already.
//!
//! Invariant: no action is answered without the lease and a committed intent, so that an older
//! action is not answered any more once the ledger has a newer one.

use std::sync::Arc;

use super::Confirmer;
use super::answer::Reply;
use super::client::ClientMonitor;
use super::turn::UnsealedCase;
use crate::broker::Settlement;
use crate::domain::{
    ActionCourse, ActionId, Cause, Event, FieldStanding, RegistrationNumber, WrittenFields, decide_action,
};
use crate::opencrvs::events::{Acceptance, EventsClient, MappedFields};
use crate::pipeline::stage::{StageFault, delay};

/// What the confirmer needs to answer OpenCRVS of the events generation.
#[derive(Debug)]
pub struct EventsSide {
    pub client: EventsClient,
    /// The bridge's own client in OpenCRVS, if one is configured.
    pub system: Option<Arc<ClientMonitor>>,
    /// The fields that an answer writes, if any are configured.
    pub fields: Option<MappedFields>,
    /// Whether the reason is sent after a rejection, if the credential allows it.
    pub reasons: bool,
}

impl Confirmer {
    pub(super) async fn answer_action(
        &self,
        case: &UnsealedCase,
        action: &ActionId,
    ) -> Result<Settlement, StageFault> {
        let fields = match &self.events.fields {
            Some(fields) => fields.standing(&case.leased.case.record.kind, &case.answer).await,
            None => FieldStanding::NotWanted,
        };
        let course = decide_action(&case.answer, &fields);
        tracing::debug!(record.id = %case.record(), ?fields, ?course, "decided");
        if let FieldStanding::Undefined { which } = &fields {
            let kind = case.leased.case.record.kind.as_str();
            tracing::warn!(
                record.id = %case.record(), kind, fields = ?which, "the form of this kind of event does not define these fields"
            );
        }
        let reply = match course {
            ActionCourse::Accept { with_fields } => match case.leased.case.record.number.clone() {
                Some(number) => {
                    let fields =
                        if with_fields { self.fields(case, &number) } else { WrittenFields::default() };
                    Reply::Accept(Acceptance { number, fields })
                }
                None => return self.end(&case.leased, Event::Park, Some(Cause::NumberTaken)).await,
            },
            ActionCourse::Reject => Reply::Reject,
            ActionCourse::Later(cause) => return Ok(delay(cause)),
            ActionCourse::Park(cause) => return self.end(&case.leased, Event::Park, Some(cause)).await,
        };
        self.answer(case, action, &reply).await
    }

    fn fields(&self, case: &UnsealedCase, number: &RegistrationNumber) -> WrittenFields {
        let kind = &case.leased.case.record.kind;
        let fields = self.events.fields.as_ref();
        fields.map(|fields| fields.evaluate(kind, &case.answer, number)).unwrap_or_default()
    }
}
