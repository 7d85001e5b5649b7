//! The confirmer: all that writes to OpenCRVS.
//!
//! For each outcome: take the record's lease, read what OpenCRVS has, decide ([`domain::decide`](crate::domain::decide)),
//! commit the write intent, write with the record's own token, record the end. Of the events generation nothing is read
//! first ([`domain::decide_action`](crate::domain::decide_action)).
//!
//! Invariant: nothing is written before `confirm_after` has passed since the acceptance, without the lease, without a
//! committed intent, or while an earlier write may still arrive (`quarantine`); no older answer is written over a
//! newer attempt.

mod answer;
mod events;
mod keeper;
mod write;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

pub use events::EventsSide;
pub use keeper::{Keeper, KeeperRules};

use crate::broker::{Breaker, Delay, Handler, Incoming, Settlement};
use crate::domain::{
    Answer, AttemptId, Cause, Course, Dialect, Event, NegativePolicy, Situation, State, decide, lease,
};
use crate::ledger::{Case, Expiry, Lease, LeaseRefusal, Ledger, LedgerError};
use crate::opencrvs::{FaultClass, Gateway, GatewayFault, KeyStore, Seen, action_of};
use crate::pipeline::stage::{StageFault, delay, settled};
use crate::pipeline::{MESSAGE_VERSION, OutcomeMessage};
use crate::seal::{Field, Sealer};
use crate::telemetry::Metrics;

/// A token that is refused though auth's key vouches for it is tried again so often.
const DOUBTS: u32 = 6;

/// How the confirmer goes about it.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Nothing is written sooner after the acceptance.
    pub confirm_after: Duration,
    /// How long a lease lasts; longer than any request to the gateway.
    pub lease: Duration,
    /// How long a write may still arrive whose end is not known.
    pub quarantine: Duration,
    /// What to do with a negative answer.
    pub negative: NegativePolicy,
    /// The identifier type under which OpenCRVS gets the ID.
    pub identifier_type: String,
    /// The comment of a confirmation after a negative answer.
    pub comment: String,
}

/// The stage.
pub struct Confirmer {
    /// What was answered.
    pub ledger: Ledger,
    /// Opens token and ID.
    pub sealer: Arc<Sealer>,
    /// OpenCRVS, FHIR generation.
    pub gateway: Gateway,
    /// OpenCRVS, events generation.
    pub events: EventsSide,
    /// Auth's key.
    pub keys: Arc<KeyStore>,
    /// How to go about it.
    pub rules: Rules,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What it depends on.
    pub needs: Needs,
}

/// What the confirmer depends on.
#[derive(Debug)]
pub struct Needs {
    /// The ledger.
    pub ledger: Breaker,
    /// The gateway.
    pub gateway: Breaker,
    /// Auth, which a gateway may ask about each token.
    pub auth: Breaker,
}

impl Handler for Confirmer {
    const NAME: &'static str = "confirm";

    async fn handle(&self, message: Incoming) -> Settlement {
        settled(Self::NAME, &self.needs.ledger, self.confirm(&message).await)
    }
}

/// What the turn at a record needs: the case, its answer, its token.
struct Turn {
    lease: Lease,
    case: Case,
    answer: Answer,
    token: SecretString,
    /// How often the delivery was put off before.
    tries: u32,
}

/// An attempt with the lease on its record.
type Held<'a> = (Lease, &'a Case);

impl Turn {
    fn held(&self) -> Held<'_> {
        (self.lease, &self.case)
    }
}

impl Confirmer {
    async fn confirm(&self, incoming: &Incoming) -> Result<Settlement, StageFault> {
        let message: OutcomeMessage =
            serde_json::from_slice(&incoming.body).map_err(|_| StageFault::Message(Cause::Malformed))?;
        if message.v != MESSAGE_VERSION {
            return Err(StageFault::Message(Cause::UnknownVersion));
        }
        let case =
            self.ledger.case(message.attempt).await?.ok_or(StageFault::Message(Cause::UnknownRequest))?;
        if let Some(settlement) = self.not_yet(&case)? {
            return Ok(settlement);
        }
        match self.ledger.lease_record(message.attempt, self.rules.lease).await? {
            Err(LeaseRefusal::Unknown) => Err(StageFault::Message(Cause::UnknownRequest)),
            Err(LeaseRefusal::Taken) => Ok(delay(Cause::Leased)),
            Ok((lease, case)) => {
                let result = self.turn(lease, case, incoming.attempt).await;
                // A lease that cannot be given back ends by itself; what the turn came to is what counts.
                if let Err(fault) = self.ledger.release_record(lease).await {
                    tracing::warn!(error = %fault, "a lease could not be given back");
                }
                result
            }
        }
    }

    /// Whether there is nothing to do (yet) for this attempt.
    fn not_yet(&self, case: &Case) -> Result<Option<Settlement>, StageFault> {
        if case.attempt.state != State::Answered {
            return Ok(Some(Settlement::Done));
        }
        let earliest = case.attempt.earliest_write(self.rules.confirm_after);
        let left = earliest.saturating_sub(case.attempt.age(Timestamp::now()));
        Ok((!left.is_zero())
            .then_some(Settlement::Delay { step: Delay::AtLeast(left), cause: Cause::TooEarly.into() }))
    }

    async fn turn(&self, lease: Lease, case: Case, tries: u32) -> Result<Settlement, StageFault> {
        if case.attempt.state != State::Answered || !case.is_newest() {
            return Ok(Settlement::Done);
        }
        // In the events generation a call may be repeated, so nothing has to be waited out.
        if case.record.dialect == Dialect::Fhir
            && let Some(left) = self.quarantined(&case).await?
        {
            return Ok(Settlement::Delay { step: Delay::AtLeast(left), cause: Cause::Quarantined.into() });
        }
        if case.attempt.token_expires_at <= Timestamp::now() {
            return self.expired(lease).await;
        }
        let (answer, token) = match (answer::of(&self.sealer, &case), token_of(&self.sealer, &case)) {
            (Ok(answer), Ok(token)) => (answer, token),
            (Err(StageFault::Seal(_)), _) | (_, Err(StageFault::Seal(_))) => {
                return self.end((lease, &case), Event::Park, Some(Cause::Unsealable)).await;
            }
            (Err(fault), _) | (_, Err(fault)) => return Err(fault),
        };
        // What the token is for says who must be answered, and how.
        if let Some(action) = action_of(&token) {
            return self.answer_action(Turn { lease, case, answer, token, tries }, &action).await;
        }
        let seen = self.gateway.read(&token, &case.record.id).await;
        self.heard(seen.as_ref().err());
        match seen {
            Ok(seen) => self.act(Turn { lease, case, answer, token, tries }, &seen).await,
            Err(fault) if self.in_doubt(fault == GatewayFault::Unauthorized, &token, tries).await => {
                Ok(delay(Cause::GatewayUnavailable))
            }
            Err(fault) => self.unread((lease, &case), &fault).await,
        }
    }

    /// How long an earlier write of this record may still arrive.
    async fn quarantined(&self, case: &Case) -> Result<Option<Duration>, StageFault> {
        let Some(intent) = case.record.intent else { return Ok(None) };
        Ok(lease::quarantine_left(Some(intent.at), self.ledger.now().await?, self.rules.quarantine))
    }

    async fn act(&self, turn: Turn, seen: &Seen) -> Result<Settlement, StageFault> {
        let Some(number) = turn.case.record.number.as_ref() else {
            return self.end(turn.held(), Event::Park, Some(Cause::NumberTaken)).await;
        };
        let decision = decide(&Situation {
            status: seen.status,
            since: seen.since,
            number_there: seen.number.as_deref(),
            stamp: turn.case.attempt.stamp,
            number,
            answer: &turn.answer,
            policy: self.rules.negative,
            waited: !turn.case.attempt.wait.is_zero(),
        });
        tracing::debug!(record.id = %turn.case.record.id, status = ?seen.status, ?decision, "decided");
        match decision.course(&turn.answer) {
            Course::Write => self.write(turn).await,
            Course::Later => Ok(delay(Cause::NotYetVisible)),
            Course::End(Event::Confirm, _) => self.confirmed(turn.held(), "already").await,
            Course::End(event, cause) => self.end(turn.held(), event, cause).await,
        }
    }

    async fn confirmed(
        &self,
        (lease, case): Held<'_>,
        outcome: &'static str,
    ) -> Result<Settlement, StageFault> {
        let settlement = self.end((lease, case), Event::Confirm, None).await?;
        self.metrics.confirmed(outcome);
        self.metrics.end_to_end(case.attempt.age(Timestamp::now()).as_secs_f64());
        Ok(settlement)
    }

    /// The token died. One that has another token by now, or whose time has not quite come by the ledger's clock, is
    /// looked at again.
    async fn expired(&self, lease: Lease) -> Result<Settlement, StageFault> {
        let Expiry::Ended { orphan } = self.ledger.expire_leased(lease).await? else {
            return Ok(delay(Cause::TokenExpiring));
        };
        for cause in [Some(Cause::TokenRefused), orphan.then_some(Cause::OrphanId)].into_iter().flatten() {
            self.metrics.alarm(cause);
            tracing::error!(
                cause = cause.as_str(),
                attempt.state = State::Expired.as_str(),
                "an operator is needed"
            );
        }
        Ok(Settlement::Done)
    }

    /// Records the end of an attempt; an end with a cause is an alarm, unless OpenCRVS itself brought it about.
    async fn end(
        &self,
        (lease, case): Held<'_>,
        event: Event,
        cause: Option<Cause>,
    ) -> Result<Settlement, StageFault> {
        let (record, attempt) = (&case.record.id, case.attempt.id);
        match self.ledger.finish(lease, event, cause).await {
            Ok(state) => match cause.filter(|cause| cause.is_alarm()) {
                Some(cause) => {
                    self.metrics.alarm(cause);
                    tracing::error!(
                        record.id = %record, attempt.id = %attempt, attempt.state = state.as_str(),
                        cause = cause.as_str(), "an operator is needed"
                    );
                }
                None => tracing::info!(
                    record.id = %record, attempt.id = %attempt, attempt.state = state.as_str(), "attempt ended"
                ),
            },
            // A newer attempt came in between; the ledger has what happened in its history.
            Err(LedgerError::Conflict(conflict)) => {
                tracing::warn!(record.id = %record, %conflict, "ended before");
            }
            Err(fault) => return Err(fault.into()),
        }
        Ok(Settlement::Done)
    }

    /// Tells the gateway's breaker how a call went. One that answered has taken the token, too.
    fn heard(&self, fault: Option<&GatewayFault>) {
        match fault {
            None => {
                self.needs.gateway.worked();
                self.needs.auth.worked();
            }
            Some(GatewayFault::Throttled(Some(after))) => self.needs.gateway.throttled(*after),
            Some(fault) if fault.is_outage() => self.needs.gateway.failed(),
            Some(_) => self.needs.gateway.worked(),
        }
    }

    /// Whether a refused token may be good all the same, because the gateway could not ask auth about it
    /// (`CHECK_INVALID_TOKEN`): auth is away, or was a moment ago and its key still vouches for the token.
    async fn in_doubt(&self, refused: bool, token: &SecretString, tries: u32) -> bool {
        if !refused {
            return false;
        }
        let Some(key) = self.keys.look().await else {
            self.needs.auth.failed();
            return true;
        };
        tries < DOUBTS && matches!(self.keys.judge(token.expose_secret(), &key).await, Some(Ok(_)))
    }

    /// The state of the record could not be read: nothing was written.
    async fn unread(&self, (lease, case): Held<'_>, fault: &GatewayFault) -> Result<Settlement, StageFault> {
        tracing::warn!(record.id = %case.record.id, error = %fault, "the record could not be read");
        match fault.class() {
            FaultClass::Permanent => self.end((lease, case), Event::Park, Some(fault.cause())).await,
            FaultClass::Throttled(after) => {
                Ok(Settlement::Delay { step: Delay::AtLeast(after), cause: fault.cause().into() })
            }
            FaultClass::Transient | FaultClass::Ambiguous => Ok(delay(fault.cause())),
        }
    }
}

/// Opens the token of an attempt.
pub(crate) fn token_of(sealer: &Sealer, case: &Case) -> Result<SecretString, StageFault> {
    let sealed = case.attempt.sealed_token.as_deref().ok_or(StageFault::Message(Cause::Unsealable))?;
    let plain = sealer.open(&case.record.id, Field::Token, sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| StageFault::Message(Cause::Malformed))?;
    Ok(SecretString::from(text))
}

/// Names an attempt in a log line.
fn attempt_of(turn: &Turn) -> AttemptId {
    turn.case.attempt.id
}
