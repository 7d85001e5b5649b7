//! One turn with a leased record: the checks, the unsealing and the intent, which both generations
//! share.
//!
//! Invariant: nothing is written without a committed intent, and no slow step comes between the
//! intent and the write.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use secrecy::SecretString;

use super::{Confirmer, unseal};
use crate::broker::{Delay, Settlement};
use crate::domain::{Answer, Cause, Dialect, Event, OperatorDecision, RecordId, State, lease};
use crate::ledger::{Case, Lease};
use crate::pipeline::stage::{StageFault, delay};

/// An attempt, and the lease on its record.
pub(super) struct LeasedCase {
    pub(super) lease: Lease,
    pub(super) case: Case,
}

/// A leased case with its unsealed answer and token.
pub(super) struct UnsealedCase {
    pub(super) leased: LeasedCase,
    /// What OpenCRVS is told, which an operator may have decided.
    pub(super) answer: Answer,
    /// `None` if the attempt has no token or if it has expired: then only the bridge's own client
    /// can answer (events generation).
    pub(super) token: Option<SecretString>,
    /// How often the delivery was delayed before this turn.
    pub(super) tries: u32,
}

impl UnsealedCase {
    pub(super) fn record(&self) -> &RecordId {
        &self.leased.case.record.id
    }
}

impl Confirmer {
    pub(super) async fn take_turn(&self, leased: LeasedCase, tries: u32) -> Result<Settlement, StageFault> {
        let case = &leased.case;
        if case.attempt.state != State::Answered || !case.is_newest() {
            return Ok(Settlement::Done);
        }
        if let Some(left) = self.quarantine_left(case).await? {
            return Ok(Settlement::Delay { step: Delay::AtLeast(left), cause: Cause::Quarantined.into() });
        }
        let has_ended = |end: Timestamp| end <= Timestamp::now();
        if case.expires_at(self.rules.has_client).is_some_and(has_ended) {
            return self.expire(leased.lease).await;
        }
        let action = unseal::action_of(&self.sealer, case);
        let is_usable = case.attempt.token_expires_at.is_some_and(|end| !has_ended(end));
        let token = is_usable.then(|| unseal::token_of(&self.sealer, case)).transpose();
        let (answer, token) = match (unseal::answer_of(&self.sealer, case), token) {
            (Ok(answer), Ok(token)) => (answer, token),
            (Err(StageFault::Seal(_)), _) | (_, Err(StageFault::Seal(_))) => {
                return self.end(&leased, Event::Park, Some(Cause::Unsealable)).await;
            }
            (Err(fault), _) | (_, Err(fault)) => return Err(fault),
        };
        let answer = OperatorDecision::applied_to(leased.case.attempt.decision.as_ref(), answer);
        let case = UnsealedCase { leased, answer, token, tries };
        let dialect = case.leased.case.record.dialect;
        match (dialect, action, &case.token) {
            (Dialect::Events, Some(action), _) => self.answer_action(&case, &action).await,
            // An older release wrote the row: only the token names the action, and it cannot be
            // unsealed.
            (Dialect::Events, None, _) => self.end(&case.leased, Event::Park, Some(Cause::Unsealable)).await,
            (Dialect::Fhir, _, Some(token)) => self.confirm_record(&case, token).await,
            // An attempt of this generation expires with its token, so it comes here only if this
            // clock and the ledger's differ.
            (Dialect::Fhir, _, None) => Ok(delay(Cause::TokenExpiring)),
        }
    }

    /// The rest of the quarantine of an earlier write to this record. Always `None` in the events
    /// generation, where a write may be repeated at once.
    async fn quarantine_left(&self, case: &Case) -> Result<Option<Duration>, StageFault> {
        match (case.record.dialect, case.record.intent) {
            (Dialect::Fhir, Some(intent)) => {
                Ok(lease::quarantine_left(Some(intent.at), self.ledger.now().await?, self.rules.quarantine))
            }
            (Dialect::Fhir, None) | (Dialect::Events, _) => Ok(None),
        }
    }

    /// Commits the intent to write. Returns `false` if nothing may be written, because the lease is
    /// lost or too little of its time is left.
    pub(super) async fn intended(&self, lease: Lease) -> Result<bool, StageFault> {
        let before = Instant::now();
        if !self.ledger.intend(lease, self.rules.lease).await? {
            return Ok(false);
        }
        // A process that was suspended meanwhile must not write any more, because another process
        // may take the lease.
        if !lease::may_write(before.elapsed(), self.rules.lease) {
            self.ledger.retract(lease, Cause::Leased).await?;
            return Ok(false);
        }
        Ok(true)
    }
}
