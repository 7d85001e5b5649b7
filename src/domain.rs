//! The pure core: what a registration is, which steps are legal, what OpenCRVS is to be told.
//!
//! Invariant: nothing in this subtree reads a clock, a socket, a file or a random number; all of that comes in as
//! an argument, so that production, the tests and the model run the same decisions.

mod alert;
mod answer;
mod attempt;
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

pub use alert::alert;
pub use answer::{Answer, IdKind, Reason, ReasonCode};
pub use attempt::{Cause, Conflict, Event, State, next};
pub use decide::{Course, Decision, NegativePolicy, RecordState, Situation, decide};
pub use decide_action::{ActionCourse, IdField, decide_action, overtaken};
pub use ids::{
    ActionId, AttemptId, NationalId, RecordId, RegistrationNumber, RequestId, TrackingId, TransactionId,
    UnusableId,
};
pub use number::{NumberTemplate, UnusableTemplate};
pub use registration::{AttemptKey, Dialect, EventKind, Registration};
pub use runbook::Advice;
pub use sweep::{Lane, Patience, missing};
pub use view::{Address, Code, EventDetails, Name, Office, Person, Place, Role, View};
