//! The pure core: what a registration is, which steps an attempt may take, and what to tell
//! OpenCRVS.
//!
//! Invariant: nothing in this subtree reads a clock, a socket, a file or a random number. Callers
//! pass such values as arguments, so that production, the tests and the model checker run the same
//! decisions.
//!
//! # Dictionary
//!
//! Each thing has one noun. Code, logs, metrics and documents use these words and no others.
//!
//! What comes from OpenCRVS:
//! - **registration**: what a registrar submitted, as the front accepted it.
//! - **record**: the file in OpenCRVS that a registration belongs to. It has one registration
//!   number and one request id, which never change.
//! - **number**: the registration number of a record, given by the country or made from a template.
//! - **attempt**: one submission of a record that we accepted. A registrar who submits again makes
//!   a new attempt.
//! - **submission**: the number of an attempt within its record, from 1. The ID system uses it to
//!   tell the attempts of a record apart.
//! - **stamp**: the time at which the registrar submitted, by OpenCRVS's clock. It orders the
//!   attempts of a record unless it lies in the future ([`order`]).
//! - **mark**: what distinguishes the attempts of a record in OpenCRVS: the stamp as OpenCRVS wrote
//!   it (FHIR), or the id of the action (events).
//! - **view**: the 2–4 KB that the bridge keeps of a document, sealed (encrypted with a key of
//!   `SEAL_KEYS`).
//! - **token**: comes with a registration up to OpenCRVS 2.0, expires at a fixed time, and allows
//!   the bridge to write the answer. A *record token* (FHIR) is for one record, an *action token*
//!   (events) for one action of one event.
//! - **service token**: comes with a registration from 2.1 on instead. It only proves the origin,
//!   and is not kept.
//! - **unheard**: said of a registration that waits in OpenCRVS although no front has it. The
//!   confirmer searches for these and takes them in.
//! - **dialect**: the generation of OpenCRVS that submitted the record, FHIR or events. The answer
//!   has to be given in the same one.
//!
//! What goes to the ID system and back:
//! - **request**: the message that asks the ID system about a record.
//! - **reply**: one message from the ID system: an answer, a notice that it is still working, or a
//!   notice that it wants to be asked again later.
//! - **answer**: the final verdict on an attempt: issued, recorded, rejected or not asked.
//! - **outcome**: the message that tells the confirmer that an attempt has its answer.
//! - **sync answer**: a copy of the answer in the response to OpenCRVS's own request, for which
//!   the caller waits. It is faster, but the confirmer handles the answer all the same.
//!
//! Writing to OpenCRVS:
//! - **client**: the bridge's own account in OpenCRVS, a *system client*; OpenCRVS's user interface
//!   calls it an integration. It can answer in the events generation without the attempt's token:
//!   in some releases of 2.0, and from 2.1 on.
//! - **access token**: what auth gives the client for its id and secret. It lives for minutes, and
//!   its scopes are the client's rights.
//! - **bootstrap token**: core sends it when it starts; it allows the country to register clients.
//! - **credential**: what a call to OpenCRVS carries to be allowed: the attempt's token or an
//!   access token of the client.
//! - **assigned**: said of a record that a user of OpenCRVS has taken on. The client cannot answer
//!   it meanwhile.
//! - **lease**: the exclusive right to write a record, limited in time. A *task lease* is the same
//!   right for a task that only one process of the installation may do at a time, such as sweeping.
//! - **fence** (fencing token): the number of a lease. The ledger allows no write under an older
//!   number.
//! - **intent**: a note in the ledger, committed before a write to OpenCRVS, that the write
//!   begins.
//! - **quarantine**: the time after an intent during which nobody writes the record again, because
//!   the result of the first write is not known.
//!
//! States of an attempt ([`State`]): **received**, **requested** and **answered** are *open*. An
//! attempt ends as
//! - **confirmed**: OpenCRVS has registered the record;
//! - **rejected**: OpenCRVS was told of the rejection;
//! - **superseded**: a newer attempt of the record took its place. It is *revived* if OpenCRVS
//!   turns out not to have the newer one, which is then *absent*;
//! - **withdrawn**: OpenCRVS moved the record on by itself;
//! - **held**: the answer is negative, and this generation of OpenCRVS cannot be told; the record
//!   keeps waiting there;
//! - **expired**: its token expired before OpenCRVS was told, and the client cannot answer it;
//! - **closed**: an operator closed it, because it was handled elsewhere.
//!
//! A **parked** attempt has stopped with a cause and goes on when an operator resumes it. A
//! **cause** says why something stopped or was refused; it comes from a bounded set ([`Cause`]). A
//! **reason** says why the ID system rejects.
//!
//! Messages and processes:
//! - **stage**: a step of the pipeline: record, send, resolve or confirm. Three more stages look
//!   after attempts from outside the pipeline: sweep, tokens and operate.
//! - **delivery**: one message that the broker gives to a consumer.
//! - **settlement**: how a consumer ends a delivery: it acknowledges, delays or parks the message.
//! - **delay queue**: keeps a message until it is time to try it again.
//! - **parking queue** (`<queue>.parked`): keeps messages that an operator has to look at.
//! - **case**: an attempt together with its record, as read from the ledger.
//! - **breaker** (circuit breaker): stops calls to a dependency that fails. Closed, half-open or
//!   open.
//! - **spool**: the directory in which the front stores registrations while the broker is
//!   unavailable.

mod alert;
mod answer;
mod attempt;
mod by_operator;
mod cause;
mod check;
mod credential;
mod decide;
mod decide_action;
mod digits;
mod escape;
mod expiry;
mod fields;
mod ids;
mod json;
pub mod lease;
mod national_id;
mod number;
pub mod order;
mod registration;
pub mod resolve;
pub mod retry;
mod runbook;
mod sweep;
mod view;

pub use alert::{alert_cause, concerns_one_person};
pub use answer::{Answer, AnswerKind, Reason, ReasonCode, ReasonSource, RecordAnswer};
pub use attempt::{Conflict, Event, State, next};
pub use by_operator::{DecidedCase, DecidedPlan, DecisionRefusal, OperatorDecision, decide_by_operator};
pub use cause::Cause;
pub use check::{
    CheckVerdict, FullName, Identity, Mismatch, RecordSeen, Standing, SubmissionSeen, check, record_standing,
};
pub use credential::{
    Blocker, Choice, ClientRefusal, ClientStanding, Credential, Credentials, TokenState, choose,
};
pub use decide::{Course, Decision, NegativePolicy, RecordState, Situation, decide, withdrawal};
pub use decide_action::{ActionCourse, FieldStanding, decide_action};
pub use digits::ascii_digits;
pub use escape::{escaped, escaped_json, escaped_lines};
pub use expiry::expires_at;
pub use fields::{
    CountryForms, FieldMapping, FieldPath, FieldSources, Forms, MappingFault, MissingField, MissingSource,
    SourceMember, SourceRule, UnusableMapping, ViewMember, WrittenFields,
};
pub use ids::{
    ActionId, AttemptId, RecordId, RegistrationNumber, RequestId, TrackingId, TransactionId, UnusableId,
};
pub use json::{Budget, Unbuilt, built_size};
pub use national_id::{NationalId, is_invisible};
pub use number::{NewNumber, NumberRules, NumberScope, NumberTemplate, UnusableTemplate};
pub use registration::{AttemptKey, Dialect, EventKind, Registration};
pub use runbook::Advice;
pub use sweep::{Lane, Patience, republish_limit};
pub use view::{Address, Code, EventDetails, Name, Office, Person, Place, Role, View};
