//! Why a reply is refused, as the history and the alert explain it.
//!
//! Invariant: a reply that differs from what an operator decided is not called the ID system's
//! second answer. If another record has the ID, both records name each other.

use sqlx::{Any, Row as _, Transaction};

use super::VendorReply;
use super::resolve_entry;
use super::statements::{AddressedCases, owner};
use crate::domain::resolve::{FollowUp, Plan};
use crate::domain::{AnswerKind, Cause, OperatorDecision, RecordId};
use crate::ledger::alerts::explain_alert;
use crate::ledger::rows::Case;
use crate::ledger::{Ledger, LedgerError};

/// A refused reply.
pub(super) struct Refusal {
    /// The plan with the cause that is told.
    pub(super) plan: Plan,
    cause: Cause,
    detail: Option<String>,
    /// The other record that has the ID of the reply.
    owner: Option<RecordId>,
}

impl Refusal {
    /// `None` if the plan refuses nothing.
    pub(super) async fn of(
        tx: &mut Transaction<'static, Any>,
        plan: Plan,
        reply: &VendorReply,
        cases: &AddressedCases,
    ) -> Result<Option<Self>, LedgerError> {
        let FollowUp::Refuse(cause) = plan.follow_up else { return Ok(None) };
        let owner = match reply {
            VendorReply::Issued(id) => owner(tx, &cases.addressed, id).await?,
            VendorReply::Recorded | VendorReply::Rejected(_) | VendorReply::Retry | VendorReply::Pending => {
                None
            }
        };
        let owner = owner.filter(|owner| *owner != cases.addressed.record.id);
        let decided = decision(tx, cause, cases).await?;
        let cause = if decided.is_some() { Cause::DecidedOtherwise } else { cause };
        let detail = detail(decided, reply, owner.as_ref());
        let park = plan.park.map(|_| cause);
        let plan = Plan { park, follow_up: FollowUp::Refuse(cause), ..plan };
        Ok(Some(Self { plan, cause, detail, owner }))
    }
}

/// What the alert says beyond its cause.
fn detail(
    decided: Option<OperatorDecision>,
    reply: &VendorReply,
    owner: Option<&RecordId>,
) -> Option<String> {
    let whose = owner.map(|owner| format!("record {owner} has the ID"));
    let Some(decided) = decided else { return whose };
    let said = match (reply, whose) {
        (VendorReply::Issued(_), Some(whose)) => format!("issued, and {whose}"),
        (VendorReply::Issued(_), None) => "issued, with an ID that OpenCRVS does not have".to_owned(),
        (VendorReply::Recorded, _) => "recorded".to_owned(),
        (VendorReply::Rejected(_), _) => "rejected".to_owned(),
        (VendorReply::Retry | VendorReply::Pending, _) => "no final one".to_owned(),
    };
    Some(format!("decided by an operator: {}; reply of the ID system: {said}", decided.as_str()))
}

/// The decision of an operator that a refused reply differs from, if it is one.
async fn decision(
    tx: &mut Transaction<'static, Any>,
    cause: Cause,
    cases: &AddressedCases,
) -> Result<Option<OperatorDecision>, LedgerError> {
    let gave = |case: &Case| {
        let decision = case.attempt.decision.clone();
        decision.filter(|decision| decision.gave(case.attempt.answer))
    };
    if cause == Cause::OrphanId {
        return Ok(gave(&cases.newest));
    }
    if cause != Cause::ContradictoryAnswer {
        return Ok(None);
    }
    match gave(&cases.addressed) {
        Some(decision) => Ok(Some(decision)),
        None if cases.addressed.attempt.answer == Some(AnswerKind::Rejected) => Ok(None),
        None => decided_answer(tx, &cases.addressed.record.id).await,
    }
}

/// The decision by which an operator gave the record its answer, whichever attempt it was about.
async fn decided_answer(
    tx: &mut Transaction<'static, Any>,
    record: &RecordId,
) -> Result<Option<OperatorDecision>, LedgerError> {
    let rows = sqlx::query("SELECT decision FROM attempt WHERE record_id = $1 AND decision IS NOT NULL")
        .bind(record.as_str())
        .fetch_all(&mut **tx)
        .await?;
    for row in &rows {
        let text: String = row.try_get("decision")?;
        let decision = serde_json::from_str(&text).ok();
        if let Some(decision @ (OperatorDecision::Issued | OperatorDecision::Recorded)) = decision {
            return Ok(Some(decision));
        }
    }
    Ok(None)
}

impl Ledger {
    /// Adds a refused reply to the history, and raises its alert.
    pub(super) async fn add_refusal(
        &self,
        tx: &mut Transaction<'static, Any>,
        refusal: &Refusal,
        cases: &AddressedCases,
    ) -> Result<(), LedgerError> {
        let AddressedCases { addressed, newest } = cases;
        let Refusal { plan, cause, detail, owner } = refusal;
        let record = &addressed.record.id;
        let entry = resolve_entry(record, Some(addressed.attempt.id), "reply_refused", Some(*cause));
        let detail = detail.as_deref();
        if plan.park.is_some() {
            // The entry that parks the attempt has raised the alert.
            self.insert_entry(tx, &entry, detail).await?;
            if let Some(detail) = detail {
                explain_alert(tx, newest.attempt.id, *cause, detail).await?;
            }
        } else {
            self.add_detailed_entry(tx, entry, detail).await?;
        }
        let Some(owner) = owner else { return Ok(()) };
        let why = format!("the ID system issued this record's ID for record {record} as well");
        let entry = resolve_entry(owner, None, "id_issued_again", None);
        self.add_explained_entry(tx, entry, Some(&why)).await
    }
}
