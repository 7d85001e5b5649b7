//! The pure core: what a registration is, which steps are legal, what OpenCRVS is told.
//!
//! Invariant: nothing in this subtree reads a clock, a socket, a file or a random number. All of
//! that comes in as an argument, so that production, the tests and the model run the same
//! decisions.
//!
//! # Dictionary
//!
//! One noun for one thing; code, logs, metrics and documents use these words and no others.
//!
//! What comes from OpenCRVS:
//! - **registration**: what a registrar submitted, as the front accepted it.
//! - **record**: the file in OpenCRVS that a registration belongs to. It has one number and one
//!   request for good.
//! - **attempt**: one submission of a record that we accepted. A registrar who submits again makes
//!   a new attempt.
//! - **submission**: the number of an attempt, from 1, by which the ID system tells the attempts of
//!   a record apart.
//! - **stamp**: when the registrar submitted; it orders the attempts of a record.
//! - **view**: the 2–4 KB that the bridge keeps of a document, sealed.
//! - **token** (record token): comes with a registration, dies at a fixed time and is what allows
//!   the answer.
//! - **dialect**: the generation of OpenCRVS that submitted, FHIR or events, in which it has to be
//!   answered.
//!
//! What goes to the ID system and back:
//! - **request**: what the ID system is asked about a record.
//! - **reply**: one message of the ID system: an answer, a notice that it is still working, or a
//!   wish to be asked later.
//! - **answer**: the final verdict on an attempt: issued, recorded, rejected or not asked.
//! - **outcome**: the message that tells the confirmer that an attempt has its answer.
//! - **sync answer**: an answer given inside OpenCRVS's own request, for which the caller waited. A
//!   faster copy only.
//!
//! Writing to OpenCRVS:
//! - **lease**: the exclusive right to write a record, limited in time. A *task lease* is the same
//!   for a task that one process of the installation does at a time, such as sweeping.
//! - **fence** (fencing token): the number of a lease. A write under an older number is refused.
//! - **intent**: the note, committed before a write to OpenCRVS, that the write begins.
//! - **quarantine**: the time after an intent whose end is not known during which nobody writes
//!   that record.
//!
//! States of an attempt ([`State`]): **received**, **requested** and **answered** are *open*. An
//! attempt ends as
//! - **confirmed** or **rejected**: OpenCRVS was told;
//! - **superseded**: a newer attempt of the record took its place;
//! - **withdrawn**: OpenCRVS moved the record on without us;
//! - **held**: a negative answer that this OpenCRVS cannot take; the record goes on waiting there;
//! - **expired**: its token died first.
//!
//! A **parked** attempt has stopped with a cause and goes on when an operator resumes it. A
//! **cause** is why something stopped or was refused, from a bounded set ([`Cause`]); a **reason**
//! is why the ID system rejects.
//!
//! Messages and processes:
//! - **stage**: a step of the pipeline: record, send, resolve, confirm. Sweep, tokens and operate
//!   look after them.
//! - **delivery**: one message that the broker gives to a consumer.
//! - **settlement**: what becomes of a delivery: acknowledged, delayed or parked.
//! - **delay queue**: keeps a message until it is to be tried again.
//! - **parking queue** (`<queue>.parked`): keeps messages that an operator has to look at.
//! - **case**: an attempt together with its record, as the ledger has them.
//! - **breaker** (circuit breaker): stops calls to a dependency that fails. Closed, half-open or
//!   open.
//! - **spool**: the front's directory for registrations while the broker is away.

mod alert;
mod answer;
mod attempt;
mod cause;
mod decide;
mod decide_action;
mod ids;
pub mod lease;
mod number;
mod registration;
pub mod resolve;
mod runbook;
mod sweep;
mod view;

pub use alert::alert_cause;
pub use answer::{Answer, AnswerKind, Reason, ReasonCode, RecordAnswer};
pub use attempt::{Conflict, Event, State, next};
pub use cause::Cause;
pub use decide::{Course, Decision, NegativePolicy, RecordState, Situation, decide, withdrawal};
pub use decide_action::{ActionCourse, IdField, decide_action};
pub use ids::{
    ActionId, AttemptId, NationalId, RecordId, RegistrationNumber, RequestId, TrackingId, TransactionId,
    UnusableId,
};
pub use number::{NumberTemplate, UnusableTemplate};
pub use registration::{AttemptKey, Dialect, EventKind, Registration};
pub use runbook::Advice;
pub use sweep::{Lane, Patience, republish_limit};
pub use view::{Address, Code, EventDetails, Name, Office, Person, Place, Role, View};
