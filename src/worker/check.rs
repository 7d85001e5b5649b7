//! Reads a registration in OpenCRVS before *send* asks the ID system about it.
//!
//! The rules are in [`domain::check`](crate::domain::check). A record of the FHIR generation is
//! read with its record token. An event is read with the action token if that has the right, else
//! with the bridge's own client; an event that neither of them may read is not checked.
//!
//! Invariant: a successful read is not repeated for the same attempt. A failed read only delays it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::broker::{Breaker, Delay, Settlement};
use crate::domain::{
    ActionId, Cause, CheckVerdict, Dialect, EventKind, Identity, Mismatch, RecordId, RecordSeen,
    RegistrationNumber, Role, SourceMember, SourceRule, Standing, SubmissionSeen, TrackingId, View, check,
    record_standing,
};
use crate::ledger::{Case, Ledger};
use crate::opencrvs::events::{ActionState, Bearer, EventsClient, FoundAction, PendingAction};
use crate::opencrvs::fhir::Gateway;
use crate::opencrvs::{
    ClientFault, FaultClass, OpencrvsFault, Reading, Right, SystemClient, may_read_record,
};
use crate::pipeline::stage::{StageFault, chain, delay};
use crate::pipeline::unseal::token_of;
use crate::seal::Sealer;
use crate::telemetry::Metrics;

/// Time in multiples of `visible_within` after which a record that OpenCRVS does not find counts as
/// invented, although nothing shows that OpenCRVS finds any record.
const UNPROVEN: u32 = 60;

/// The read before *send*.
pub struct SendCheck {
    gateway: Gateway,
    events: EventsClient,
    reading: Reading,
    /// The bridge's own client in OpenCRVS, if this process has its credentials.
    client: Option<SystemClient>,
    /// The gateway's breaker.
    breaker: Breaker,
    /// Time from the acceptance within which OpenCRVS may not show a submission yet.
    visible_within: Duration,
    /// How far the clocks of OpenCRVS and of the front may differ.
    tolerance: Duration,
    /// The record of the FHIR generation that OpenCRVS found last. If OpenCRVS cannot find even
    /// this one, its search service fails, and the record of an attempt need not be missing.
    last_found: Mutex<Option<RecordId>>,
}

/// The clients and settings of a [`SendCheck`].
pub struct SendCheckParts {
    pub gateway: Gateway,
    pub events: EventsClient,
    /// How documents of the events generation are read.
    pub reading: Reading,
    pub client: Option<SystemClient>,
    pub breaker: Breaker,
    pub visible_within: Duration,
    pub tolerance: Duration,
}

/// What *send* does with the attempt.
pub(super) enum Checked {
    /// OpenCRVS has the registration.
    Genuine,
    /// Nothing was read, because no credential may read the event.
    Unchecked,
    Withdraw,
    Park(Cause),
    /// OpenCRVS does not have the registration as it was submitted.
    Invented(Mismatch),
    Settle(Settlement),
}

/// What OpenCRVS has of an attempt.
struct Found {
    standing: Standing,
    /// The tracking id of the record, if OpenCRVS gives it.
    tracking_id: Option<String>,
    /// The person that the event is about, if OpenCRVS gives one.
    person: Option<Identity>,
}

impl Found {
    fn without_person(standing: Standing) -> Self {
        Self { standing, tracking_id: None, person: None }
    }

    /// Whether the record has this tracking id. The registration number may be made from it.
    fn has_tracking_id(&self, ours: &TrackingId) -> Result<(), Mismatch> {
        match &self.tracking_id {
            Some(theirs) if !theirs.eq_ignore_ascii_case(ours.as_str()) => Err(Mismatch::TrackingId),
            Some(_) | None => Ok(()),
        }
    }
}

/// The attempt to check, and what *send* provides for it.
pub(super) struct CheckContext<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) case: &'a Case,
    pub(super) view: &'a View,
    pub(super) number: &'a RegistrationNumber,
    pub(super) sealer: &'a Sealer,
    pub(super) metrics: &'a Metrics,
}

impl SendCheck {
    pub fn new(parts: SendCheckParts) -> Self {
        let SendCheckParts { gateway, events, reading, client, breaker, visible_within, tolerance } = parts;
        let last_found = Mutex::new(None);
        Self { gateway, events, reading, client, breaker, visible_within, tolerance, last_found }
    }

    pub(super) async fn check(&self, context: &CheckContext<'_>) -> Result<Checked, StageFault> {
        let case = context.case;
        let found = match case.record.dialect {
            Dialect::Fhir => self.find_record(context).await?,
            Dialect::Events => match self.find_action(context).await? {
                Some(found) => found,
                None => {
                    context.metrics.send_checked("unchecked");
                    return Ok(Checked::Unchecked);
                }
            },
        };
        self.observe(&found);
        let age = case.attempt.age(Timestamp::now());
        let is_old = age >= self.visible_within;
        let found = match found {
            Ok(found) => found,
            Err(OpencrvsFault::RecordNotFound) if is_old && self.has_no_such_record(context, age).await? => {
                Found::without_person(Standing::Absent)
            }
            Err(OpencrvsFault::EventNotFound) => Found::without_person(Standing::Absent),
            Err(fault) => {
                context.metrics.send_checked("failed");
                return Ok(after_fault(case, &fault));
            }
        };
        Ok(self.judge(context, &found, is_old))
    }

    fn judge(&self, context: &CheckContext<'_>, found: &Found, is_old: bool) -> Checked {
        let case = context.case;
        let persons = match &found.person {
            Some(theirs) => {
                Identity::of(&case.record.kind, context.view).unwrap_or_default().agrees_with(theirs)
            }
            None => Ok(()),
        };
        let agrees = found.has_tracking_id(&case.record.tracking_id).and(persons);
        let verdict = check(found.standing, agrees, is_old);
        tracing::debug!(record.id = %case.record.id, standing = ?found.standing, ?verdict, "read before send");
        let (outcome, checked) = match verdict {
            CheckVerdict::Send if found.person.is_some() => ("genuine", Checked::Genuine),
            CheckVerdict::Send => ("submission_only", Checked::Genuine),
            CheckVerdict::ReadAgain => ("not_yet", Checked::Settle(delay(Cause::NotYetVisible))),
            CheckVerdict::Withdraw => ("withdrawn", Checked::Withdraw),
            CheckVerdict::NotInOpencrvs(mismatch) => ("not_in_opencrvs", Checked::Invented(mismatch)),
        };
        context.metrics.send_checked(outcome);
        checked
    }

    async fn find_record(
        &self,
        context: &CheckContext<'_>,
    ) -> Result<Result<Found, OpencrvsFault>, StageFault> {
        let case = context.case;
        let token = token_of(context.sealer, case)?;
        let found = match self
            .gateway
            .find(&token, &case.record.id, &case.record.kind, &self.reading.identifier_type)
            .await
        {
            Ok(found) => found,
            Err(fault) => return Ok(Err(fault)),
        };
        *self.last_found.lock().unwrap_or_else(PoisonError::into_inner) = Some(case.record.id.clone());
        let record = RecordSeen {
            status: found.status,
            since: found.since,
            waited_since: &found.waited_since,
            number: found.number.as_deref(),
        };
        let submission = SubmissionSeen {
            stamp: case.attempt.stamp,
            accepted_at: case.attempt.accepted_at,
            tolerance: self.tolerance,
            number: context.number,
        };
        let person = found.person.map(|person| comparable(person, &case.record.kind, &self.reading));
        let standing = record_standing(&record, &submission);
        Ok(Ok(Found { standing, tracking_id: found.tracking_id, person }))
    }

    /// Whether OpenCRVS does not find the record of this attempt because it has none. That is so if
    /// it finds another one: the record that it found last, or one that was confirmed there. If no
    /// other record is known, `GATEWAY_URL` may be wrong, so the attempt waits longer. A record
    /// token may read any record.
    async fn has_no_such_record(
        &self,
        context: &CheckContext<'_>,
        age: Duration,
    ) -> Result<bool, StageFault> {
        let ours = &context.case.record.id;
        let last = self.last_found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = match last.filter(|last| last != ours) {
            Some(last) => Some(last),
            None => context.ledger.confirmed_beside(ours, Dialect::Fhir).await?,
        };
        let Some(known) = known else { return Ok(age >= self.visible_within.saturating_mul(UNPROVEN)) };
        let token = token_of(context.sealer, context.case)?;
        Ok(self.gateway.read(&token, &known).await.is_ok())
    }

    /// `None` if no credential may read the event.
    async fn find_action(
        &self,
        context: &CheckContext<'_>,
    ) -> Result<Option<Result<Found, OpencrvsFault>>, StageFault> {
        let case = context.case;
        let Some(action) = &case.attempt.action else { return Ok(None) };
        let has_expired = |end: Timestamp| end <= Timestamp::now();
        let token = match &case.attempt.sealed_token {
            Some(_) if !case.attempt.token_expires_at.is_none_or(has_expired) => {
                Some(token_of(context.sealer, case)?).filter(may_read_record)
            }
            Some(_) | None => None,
        };
        let read = match token {
            Some(token) => Some(self.find_with_token(case, action, &token).await),
            None => None,
        };
        let read = match read {
            None | Some(Err(OpencrvsFault::Unauthorized | OpencrvsFault::RecordRefused)) => {
                self.find_with_client(case, action).await.or(read)
            }
            read => read,
        };
        let number = context.number;
        Ok(match read {
            // The scopes allow the read but OpenCRVS refuses it: the registrar may not read this
            // record.
            None | Some(Err(OpencrvsFault::RecordRefused | OpencrvsFault::ClientScope)) => None,
            Some(read) => Some(read.map(|found| found_action(found, number))),
        })
    }

    async fn find_with_token(
        &self,
        case: &Case,
        action: &ActionId,
        token: &SecretString,
    ) -> Result<FoundAction, OpencrvsFault> {
        self.events.find(Bearer::Token(token), &pending(case, action), &self.reading).await
    }

    /// `None` if there is no client, or if it may not read the event.
    async fn find_with_client(
        &self,
        case: &Case,
        action: &ActionId,
    ) -> Option<Result<FoundAction, OpencrvsFault>> {
        let client = self.client.as_ref()?;
        let mut refused = false;
        loop {
            let token = match client.access_token().await {
                Ok(token) => token,
                Err(fault) => return Some(Err(of_client(fault))),
            };
            if !token.may(Right::Read, &case.record.kind) {
                return None;
            }
            match self.events.find(Bearer::Client(&token), &pending(case, action), &self.reading).await {
                Err(OpencrvsFault::ClientRefused) if !refused => {
                    refused = true;
                    client.refused(&token).await;
                }
                read => return Some(read),
            }
        }
    }

    fn observe(&self, found: &Result<Found, OpencrvsFault>) {
        match found {
            Err(OpencrvsFault::Throttled(Some(after))) => self.breaker.throttled(*after),
            Err(fault) if fault.is_outage() => self.breaker.failed(),
            Ok(_) | Err(_) => self.breaker.worked(),
        }
    }
}

/// Leaves out names and date if the country keeps them in fields (`FIELDS_FHIR`) that the gateway
/// does not show.
fn comparable(person: Identity, kind: &EventKind, reading: &Reading) -> Identity {
    let role = if *kind == EventKind::Death { Role::Deceased } else { Role::Child };
    let is_elsewhere = |members: &[SourceMember]| {
        reading.fhir.rules().any(|((of, member), from)| {
            of == role && members.contains(&member) && from != [SourceRule::Patient].as_slice()
        })
    };
    let name = [SourceMember::Name, SourceMember::Firstname, SourceMember::Middlename, SourceMember::Surname];
    let Identity { names, born, national_id } = person;
    Identity {
        names: if is_elsewhere(&name) { Vec::new() } else { names },
        born: born
            .filter(|_| !is_elsewhere(&[SourceMember::Dob]))
            .map(|born| reading.local_day(&born).unwrap_or(born)),
        national_id: national_id.filter(|_| !is_elsewhere(&[SourceMember::Nid])),
    }
}

fn pending<'a>(case: &'a Case, action: &'a ActionId) -> PendingAction<'a> {
    PendingAction { record: &case.record.id, action, kind: &case.record.kind }
}

fn found_action(found: FoundAction, number: &RegistrationNumber) -> Found {
    let registered = |theirs: Option<String>| Standing::Registered {
        under_our_number: theirs.as_deref() == Some(number.as_str()),
    };
    match found {
        FoundAction::Waits { tracking_id, person } => {
            Found { standing: Standing::Waits, tracking_id: Some(tracking_id.to_string()), person }
        }
        FoundAction::Answered(ActionState::Accepted(theirs)) => Found::without_person(registered(theirs)),
        FoundAction::Answered(ActionState::Rejected) => Found::without_person(Standing::Rejected),
        FoundAction::Answered(ActionState::Open) | FoundAction::Absent => {
            Found::without_person(Standing::Absent)
        }
    }
}

fn of_client(fault: ClientFault) -> OpencrvsFault {
    match fault {
        ClientFault::Unavailable | ClientFault::NotAToken => OpencrvsFault::Unreachable,
        ClientFault::Throttled(after) => OpencrvsFault::Throttled(after),
        ClientFault::Refused | ClientFault::NoSecret | ClientFault::Unsupported(_) => {
            OpencrvsFault::ClientRefused
        }
    }
}

/// A read that failed says nothing about the registration, so the attempt waits. Only a registrar
/// who is not active any more needs an operator.
fn after_fault(case: &Case, fault: &OpencrvsFault) -> Checked {
    tracing::warn!(
        record.id = %case.record.id, attempt.id = %case.attempt.id, error = %chain(fault),
        "the registration could not be read in OpenCRVS, so the ID system is not asked yet"
    );
    match (fault, fault.class()) {
        (OpencrvsFault::RegistrarInactive, _) => Checked::Park(Cause::RegistrarInactive),
        (_, FaultClass::Throttled(after)) => {
            Checked::Settle(Settlement::Delay { step: Delay::AtLeast(after), cause: fault.cause().into() })
        }
        _ => Checked::Settle(delay(fault.cause())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FieldSources, FullName};

    #[test]
    fn what_the_country_keeps_elsewhere_is_not_compared() {
        let name = FullName { given: "Ada".to_owned(), family: "Doe".to_owned() };
        let theirs = Identity {
            names: vec![name],
            born: Some("2026-01-31".to_owned()),
            national_id: Some("12".to_owned()),
        };
        let of = |sources: &str, kind: &EventKind| {
            let sources = match sources {
                "" => FieldSources::conventional(Dialect::Fhir),
                text => FieldSources::parse(Dialect::Fhir, text).unwrap(),
            };
            let events = FieldSources::conventional(Dialect::Events);
            let reading = Reading::new("NATIONAL_ID".to_owned(), sources, events);
            let found = comparable(theirs.clone(), kind, &reading);
            [!found.names.is_empty(), found.born.is_some(), found.national_id.is_some()]
        };
        let (birth, death) = (EventKind::Birth, EventKind::Death);
        assert_eq!(of("", &birth), [true, true, true]);
        assert_eq!(of("child.name.firstname = birth.child.englishName", &birth), [false, true, true]);
        assert_eq!(of("child.dob = birth.child.date | patient", &birth), [true, false, true]);
        assert_eq!(of("child.name.firstname = birth.child.englishName", &death), [true, true, true]);
        assert_eq!(of("deceased.nid = death.deceased.passport", &death), [true, true, false]);
    }
}
