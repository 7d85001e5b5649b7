//! What can be made to go wrong at the gateway while it runs.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// One way for a call to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The token is not accepted, whatever it says.
    Unauthorized,
    /// The registrar of the token is gone or not active.
    AuthenticationFailed,
    /// The user management is down, which the gateway reports as a failed authentication.
    UserManagementDown,
    /// The scope is denied.
    NoScope,
    /// The record of the token is denied.
    OtherRecord,
    /// A service behind the gateway fails before anything was written.
    FailsBefore,
    /// A service behind the gateway fails after the record was registered.
    FailsAfter,
    /// The workflow service does not answer.
    WorkflowUnreachable,
    /// The workflow service refuses the token.
    WorkflowUnauthorized,
    /// The workflow service refuses the scope.
    WorkflowForbidden,
    /// The document is refused as unreadable, with HTTP 400.
    ParseFailed,
    /// The document is refused as not of the schema, with HTTP 400.
    ValidationFailed,
    /// The variables are refused.
    BadUserInput,
    /// Too many calls.
    RateLimited,
    /// An HTTP status with a body of no use, from something in between; nothing was written.
    Http(u16),
    /// An HTTP status from something in between, after the record was registered.
    HttpAfter(u16),
    /// 200 with a page of HTML.
    NotJson,
    /// No answer at all; nothing was written.
    Hang,
    /// No answer at all, after the record was registered.
    HangAfter,
    /// The call is done, but this many milliseconds late.
    Delay(u64),
    /// The call of the gateway is held back until [`Faults::let_go`] and then goes its way (or the way of the next
    /// fault), whether or not the caller still waits: a mutation that is applied late.
    Held,
    /// The connection breaks before anything was written.
    CutBefore,
    /// The connection breaks after the record was registered, before a byte of the answer.
    CutAfter,
}

impl Fault {
    /// Whether the call does its work although the answer tells otherwise.
    pub(super) fn applies(self) -> bool {
        match self {
            Self::FailsAfter | Self::HttpAfter(_) | Self::HangAfter | Self::Delay(_) | Self::CutAfter => true,
            Self::Unauthorized
            | Self::AuthenticationFailed
            | Self::UserManagementDown
            | Self::NoScope
            | Self::OtherRecord
            | Self::FailsBefore
            | Self::WorkflowUnreachable
            | Self::WorkflowUnauthorized
            | Self::WorkflowForbidden
            | Self::ParseFailed
            | Self::ValidationFailed
            | Self::BadUserInput
            | Self::RateLimited
            | Self::Http(_)
            | Self::NotJson
            | Self::Hang
            | Self::Held
            | Self::CutBefore => false,
        }
    }
}

/// Which calls a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// `confirmRegistration`.
    Confirm,
    /// `fetchRegistration`.
    Fetch,
    /// `POST /token` of auth.
    Exchange,
    /// `GET /.well-known` of auth.
    Key,
}

#[derive(Debug, Default)]
struct Plan {
    next: VecDeque<(Calls, Fault)>,
    standing: Vec<(Calls, Fault)>,
    deactivated: HashSet<String>,
    latency: Duration,
    held: Vec<(Calls, oneshot::Sender<()>)>,
}

/// The switches. All of them can be turned while calls are under way.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Mutex<Plan>,
}

impl Faults {
    fn with<T>(&self, change: impl FnOnce(&mut Plan) -> T) -> T {
        change(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next `times` calls of this kind go wrong in this way, before any standing fault.
    pub fn next(&self, calls: Calls, times: usize, fault: Fault) {
        self.with(|plan| plan.next.extend(std::iter::repeat_n((calls, fault), times)));
    }

    /// Every call of this kind goes wrong in this way, until [`Faults::clear`].
    pub fn always(&self, calls: Calls, fault: Fault) {
        self.with(|plan| {
            plan.standing.retain(|(of, _)| *of != calls);
            plan.standing.push((calls, fault));
        });
    }

    /// No more faults; registrars and latency stay.
    pub fn clear(&self) {
        self.with(|plan| {
            plan.next.clear();
            plan.standing.clear();
        });
    }

    /// Deactivates a registrar, or takes that back.
    pub fn deactivate(&self, registrar: &str, gone: bool) {
        self.with(|plan| {
            if gone {
                plan.deactivated.insert(registrar.to_owned());
            } else {
                plan.deactivated.remove(registrar);
            }
        });
    }

    /// How long every call of the gateway takes.
    pub fn latency(&self, latency: Duration) {
        self.with(|plan| plan.latency = latency);
    }

    /// How many calls of this kind are held back now.
    pub fn held(&self, calls: Calls) -> usize {
        self.with(|plan| plan.held.iter().filter(|(of, _)| *of == calls).count())
    }

    /// Lets the calls of this kind go that are held back.
    pub fn let_go(&self, calls: Calls) {
        self.with(|plan| plan.held.retain(|(of, _)| *of != calls));
    }

    /// Holds a call back; the end of the channel lets it go.
    pub(super) fn hold_back(&self, calls: Calls) -> oneshot::Receiver<()> {
        let (gate, opened) = oneshot::channel();
        self.with(|plan| plan.held.push((calls, gate)));
        opened
    }

    pub(super) fn take(&self, calls: Calls) -> Option<Fault> {
        self.with(|plan| match plan.next.iter().position(|(of, _)| *of == calls) {
            Some(position) => plan.next.remove(position).map(|(_, fault)| fault),
            None => plan.standing.iter().find(|(of, _)| *of == calls).map(|(_, fault)| *fault),
        })
    }

    pub(super) fn is_deactivated(&self, registrar: &str) -> bool {
        self.with(|plan| plan.deactivated.contains(registrar))
    }

    pub(super) fn pause(&self) -> Duration {
        self.with(|plan| plan.latency)
    }
}
