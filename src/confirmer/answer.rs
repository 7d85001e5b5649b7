//! Sends the answer to an action, with the credential that OpenCRVS accepts: the action token that
//! came with the registration, or the bridge's own client.
//!
//! The rules are in [`domain::choose`](crate::domain::choose). If the client may read events, the
//! event is read before the client writes, and again if the result of the write is unknown.
//!
//! Invariant: a refused credential never ends an attempt while the other one may be able to answer.

mod outcome;
mod wait;

use super::Confirmer;
use super::turn::UnsealedCase;
use crate::broker::Settlement;
use crate::domain::{
    ActionId, Cause, Choice, ClientRefusal, ClientStanding, Credential, Credentials, TokenState, choose,
};
use crate::opencrvs::events::{Acceptance, ActionState, Bearer, PendingAction};
use crate::opencrvs::{AccessToken, ClientFault, OpencrvsFault, Right};
use crate::pipeline::stage::{StageFault, delay};
use outcome::after_answer;

/// What is written to OpenCRVS.
pub(super) enum Reply {
    Accept(Acceptance),
    Reject,
}

impl Reply {
    fn right(&self) -> Right {
        match self {
            Self::Accept(_) => Right::Accept,
            Self::Reject => Right::Reject,
        }
    }
}

/// An answer that is being given.
struct Answering<'a> {
    case: &'a UnsealedCase,
    pending: PendingAction<'a>,
    reply: &'a Reply,
}

impl Answering<'_> {
    /// The scope that the client needs for this call.
    fn scope(&self) -> String {
        format!("type={}&event={}", self.reply.right().scope(), self.pending.kind.as_str())
    }
}

/// How a try with one credential ended.
enum Tried<Refusal> {
    Settled(Settlement),
    /// The other credential may be tried.
    Refused(Refusal),
}

impl Confirmer {
    pub(super) async fn answer(
        &self,
        case: &UnsealedCase,
        action: &ActionId,
        reply: &Reply,
    ) -> Result<Settlement, StageFault> {
        let record = &case.leased.case.record;
        let pending = PendingAction { record: &record.id, action, kind: &record.kind };
        let answering = Answering { case, pending, reply };
        let system = self.events.system.as_ref();
        let mut credentials = Credentials {
            token: if case.token.is_some() { TokenState::Usable } else { TokenState::Absent },
            client: system
                .map_or(ClientStanding::NotConfigured, |client| client.standing(reply.right(), pending.kind)),
            refusal: None,
        };
        let mut token_fault = OpencrvsFault::Unauthorized;
        loop {
            match choose(&credentials) {
                Choice::Try(Credential::Token) => match self.try_token(&answering).await? {
                    Tried::Settled(settlement) => return Ok(settlement),
                    Tried::Refused(fault) => {
                        token_fault = fault;
                        credentials.token = TokenState::Refused;
                    }
                },
                Choice::Try(Credential::Client) => match self.try_client(&answering).await? {
                    Tried::Settled(settlement) => return Ok(settlement),
                    Tried::Refused(refusal) => credentials.refusal = Some(refusal),
                },
                Choice::Later(blocker) => {
                    // Each write of this turn was refused outright. Only an earlier one may still
                    // arrive.
                    if case.leased.case.record.intent.is_none() {
                        self.ledger.retract(case.leased.lease, blocker.cause()).await?;
                    }
                    return self.wait_for(blocker, &answering).await;
                }
                Choice::TokenRefused => {
                    return self.settle_fault(case, &token_fault, after_answer(&token_fault)).await;
                }
                Choice::NotFound => {
                    let fault = OpencrvsFault::EventNotFound;
                    return self.settle_fault(case, &fault, after_answer(&fault)).await;
                }
            }
        }
    }

    async fn try_token(&self, answering: &Answering<'_>) -> Result<Tried<OpencrvsFault>, StageFault> {
        let Some(token) = &answering.case.token else {
            return Ok(Tried::Refused(OpencrvsFault::Unauthorized));
        };
        let bearer = Bearer::Token(token);
        if !self.intended(answering.case.leased.lease).await? {
            return Ok(Tried::Settled(delay(Cause::Leased)));
        }
        let written = self.write_answer(bearer, answering).await;
        self.observe_action(&written);
        match written {
            Err(fault @ (OpencrvsFault::Unauthorized | OpencrvsFault::RecordRefused)) => {
                Ok(Tried::Refused(fault))
            }
            written => Ok(Tried::Settled(self.settle_answer(bearer, answering, written).await?)),
        }
    }

    /// Tries the client, and once more with a fresh access token if OpenCRVS refuses the first one.
    async fn try_client(&self, answering: &Answering<'_>) -> Result<Tried<ClientRefusal>, StageFault> {
        let Some(client) = &self.events.system else { return Ok(Tried::Refused(ClientRefusal::Unavailable)) };
        let mut refused = false;
        loop {
            let token = match client.system.access_token().await {
                Ok(token) => token,
                Err(fault) => return Ok(Tried::Refused(self.observe_client(fault))),
            };
            match self.try_access_token(&token, answering).await? {
                Tried::Settled(settlement) => return Ok(Tried::Settled(settlement)),
                Tried::Refused(ClientRefusal::Refused) if !refused => {
                    refused = true;
                    client.system.refused(&token).await;
                }
                Tried::Refused(refusal) => {
                    if matches!(refusal, ClientRefusal::Scope | ClientRefusal::Release) {
                        client.request_probe();
                    }
                    return Ok(Tried::Refused(refusal));
                }
            }
        }
    }

    async fn try_access_token(
        &self,
        token: &AccessToken,
        answering: &Answering<'_>,
    ) -> Result<Tried<ClientRefusal>, StageFault> {
        let (bearer, kind) = (Bearer::Client(token), answering.pending.kind);
        if token.may(Right::Read, kind) {
            let read = self.events.client.read(bearer, &answering.pending).await;
            self.observe_call(&read);
            match read {
                Ok(event) if event.action != ActionState::Open => {
                    return Ok(Tried::Settled(self.already_answered(answering, event.action).await?));
                }
                Err(OpencrvsFault::ClientRefused) => return Ok(Tried::Refused(ClientRefusal::Refused)),
                Err(fault) if fault.is_outage() => {
                    return Ok(Tried::Settled(self.settle_read_fault(answering, &fault).await?));
                }
                // The write may succeed although the client could not read the event.
                Ok(_) | Err(_) => {}
            }
        }
        if !self.intended(answering.case.leased.lease).await? {
            return Ok(Tried::Settled(delay(Cause::Leased)));
        }
        let written = self.write_answer(bearer, answering).await;
        self.observe_call(&written);
        let refusal = match written.as_ref().err() {
            Some(OpencrvsFault::Assigned) => ClientRefusal::Assigned,
            Some(OpencrvsFault::ClientRefused) => ClientRefusal::Refused,
            Some(OpencrvsFault::EventNotFound) => ClientRefusal::NotFound,
            Some(OpencrvsFault::ClientScope) if token.may(answering.reply.right(), kind) => {
                ClientRefusal::Release
            }
            Some(OpencrvsFault::ClientScope) => ClientRefusal::Scope,
            Some(_) => {
                return Ok(Tried::Settled(self.settle_answer(bearer, answering, written).await?));
            }
            None => {
                let settlement = self.settle_answer(bearer, answering, written).await?;
                self.settle_alerts(answering).await?;
                return Ok(Tried::Settled(settlement));
            }
        };
        // Nothing was written. The intent is kept for now: an earlier write of this attempt may
        // still arrive.
        Ok(Tried::Refused(refusal))
    }

    async fn write_answer(
        &self,
        bearer: Bearer<'_>,
        answering: &Answering<'_>,
    ) -> Result<ActionState, OpencrvsFault> {
        let Answering { case, pending, reply } = answering;
        match reply {
            Reply::Accept(acceptance) => self.events.client.accept(bearer, pending, acceptance).await,
            Reply::Reject => {
                let keep_assignment = self.reason(case, bearer, pending).is_some();
                self.events.client.reject(bearer, pending, keep_assignment).await?;
                Ok(ActionState::Rejected)
            }
        }
    }

    /// Reports a missing access token to the breakers. If auth limits the requests for access
    /// tokens, the gateway's breaker stays closed, because answers with an action token need none.
    fn observe_client(&self, fault: ClientFault) -> ClientRefusal {
        match fault {
            ClientFault::Refused | ClientFault::NoSecret | ClientFault::Unsupported(_) => {
                ClientRefusal::Refused
            }
            ClientFault::Throttled(_) => ClientRefusal::Unavailable,
            ClientFault::Unavailable | ClientFault::NotAToken => {
                self.breakers.gateway.failed();
                ClientRefusal::Unavailable
            }
        }
    }

    /// Reports a call with the action token to the breakers, except for an HTTP 500, which need not
    /// be an outage: OpenCRVS 1.9 and 2.0 also respond with 500 to the rejection of an accepted
    /// action.
    fn observe_action<T>(&self, result: &Result<T, OpencrvsFault>) {
        if !matches!(result, Err(OpencrvsFault::Status(500))) {
            self.observe(result);
        }
    }

    /// Reports a call of the client to the breakers. Any response to an accepted access token shows
    /// that auth works, even if the call itself fails.
    fn observe_call<T>(&self, result: &Result<T, OpencrvsFault>) {
        self.observe_action(result);
        if let Err(fault) = result
            && !fault.is_outage()
            && *fault != OpencrvsFault::ClientRefused
        {
            self.breakers.auth.worked();
        }
    }
}
