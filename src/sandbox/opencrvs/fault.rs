//! The ways in which a call can go wrong.

use std::str::FromStr;

/// One way for a call to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// No answer at all, and the record is registered this many milliseconds later, whatever its state is then.
    HangLate(u64),
    /// The call is done at once, but answered this many milliseconds late.
    Delay(u64),
    /// The connection breaks before anything was written.
    CutBefore,
    /// The connection breaks after the record was registered, before a byte of the answer.
    CutAfter,
    /// The connection breaks, and the record is registered this many milliseconds later, whatever its state is then.
    CutLate(u64),
    /// The answer, an error before anything was written, breaks off in the middle of its body.
    TruncatedBefore,
    /// The answer breaks off in the middle of its body, after the record was registered.
    TruncatedAfter,
}

/// Each fault by its name; a number stands for one that the name must bring along.
const NAMES: [(&str, Fault); 26] = [
    ("unauthorized", Fault::Unauthorized),
    ("authentication_failed", Fault::AuthenticationFailed),
    ("user_management_down", Fault::UserManagementDown),
    ("no_scope", Fault::NoScope),
    ("other_record", Fault::OtherRecord),
    ("fails_before", Fault::FailsBefore),
    ("fails_after", Fault::FailsAfter),
    ("workflow_unreachable", Fault::WorkflowUnreachable),
    ("workflow_unauthorized", Fault::WorkflowUnauthorized),
    ("workflow_forbidden", Fault::WorkflowForbidden),
    ("parse_failed", Fault::ParseFailed),
    ("validation_failed", Fault::ValidationFailed),
    ("bad_user_input", Fault::BadUserInput),
    ("rate_limited", Fault::RateLimited),
    ("http", Fault::Http(0)),
    ("http_after", Fault::HttpAfter(0)),
    ("not_json", Fault::NotJson),
    ("hang", Fault::Hang),
    ("hang_after", Fault::HangAfter),
    ("hang_late", Fault::HangLate(0)),
    ("delay", Fault::Delay(0)),
    ("cut_before", Fault::CutBefore),
    ("cut_after", Fault::CutAfter),
    ("cut_late", Fault::CutLate(0)),
    ("truncated_before", Fault::TruncatedBefore),
    ("truncated_after", Fault::TruncatedAfter),
];

/// When a call does its work although its answer tells otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Never,
    AtOnce,
    /// After so many milliseconds.
    Later(u64),
}

impl Fault {
    /// The name in counters and on the command line.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, fault)| fault.with(0) == self.with(0)).map_or("fault", |(name, _)| name)
    }

    /// The same fault with another number, where it has one.
    fn with(self, number: u64) -> Self {
        let status = u16::try_from(number).unwrap_or(u16::MAX);
        match self {
            Self::Http(_) => Self::Http(status),
            Self::HttpAfter(_) => Self::HttpAfter(status),
            Self::HangLate(_) => Self::HangLate(number),
            Self::Delay(_) => Self::Delay(number),
            Self::CutLate(_) => Self::CutLate(number),
            Self::Unauthorized
            | Self::AuthenticationFailed
            | Self::UserManagementDown
            | Self::NoScope
            | Self::OtherRecord
            | Self::FailsBefore
            | Self::FailsAfter
            | Self::WorkflowUnreachable
            | Self::WorkflowUnauthorized
            | Self::WorkflowForbidden
            | Self::ParseFailed
            | Self::ValidationFailed
            | Self::BadUserInput
            | Self::RateLimited
            | Self::NotJson
            | Self::Hang
            | Self::HangAfter
            | Self::CutBefore
            | Self::CutAfter
            | Self::TruncatedBefore
            | Self::TruncatedAfter => self,
        }
    }

    /// Whether and when the call does its work.
    pub(super) fn effect(self) -> Effect {
        match self {
            Self::FailsAfter
            | Self::HttpAfter(_)
            | Self::HangAfter
            | Self::Delay(_)
            | Self::CutAfter
            | Self::TruncatedAfter => Effect::AtOnce,
            Self::HangLate(ms) | Self::CutLate(ms) => Effect::Later(ms),
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
            | Self::CutBefore
            | Self::TruncatedBefore => Effect::Never,
        }
    }
}

/// `cut_after`, `http/503`, `cut_late/3000`: the number is a status or milliseconds.
impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = match text.split_once('/') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let unknown = || {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("there is no fault {name}; there are {}", names.join(", "))
        };
        let fault = NAMES.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault);
        let fault = fault.ok_or_else(unknown)?;
        match (number.map(str::parse::<u64>), fault.with(0) != fault.with(1)) {
            (Some(Ok(number)), true) => Ok(fault.with(number)),
            (None, false) => Ok(fault),
            (_, true) => Err(format!("{name} needs a number: {name}/503 or {name}/3000")),
            (Some(_), false) => Err(format!("{name} takes no number")),
        }
    }
}

/// Which calls a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Calls {
    /// `confirmRegistration`.
    Confirm,
    /// What answers an action of the events generation: `register.accept`, `register.reject`, `reject.request`.
    Action,
    /// `fetchRegistration`.
    Fetch,
    /// `searchEvents`.
    Search,
    /// `POST /token` of auth.
    Exchange,
    /// `GET /.well-known` of auth.
    Key,
}

impl Calls {
    /// All kinds of calls.
    pub const ALL: [Self; 6] =
        [Self::Confirm, Self::Action, Self::Fetch, Self::Search, Self::Exchange, Self::Key];

    /// The name in counters and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Action => "action",
            Self::Fetch => "fetch",
            Self::Search => "search",
            Self::Exchange => "exchange",
            Self::Key => "key",
        }
    }
}

/// A share of the calls of one kind that go wrong in one way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Which calls.
    pub calls: Calls,
    /// In which way.
    pub fault: Fault,
    /// How many of them, of 1.
    pub share: f64,
}

impl Share {
    /// A share of the calls of a kind.
    pub fn of(calls: Calls, fault: Fault, share: f64) -> Self {
        Self { calls, fault, share }
    }
}

/// `confirm:cut_after=0.02`.
impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write CALLS:FAULT=SHARE, such as confirm:cut_after=0.02".to_owned();
        let (calls, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (fault, share) = rest.split_once('=').ok_or_else(wrong)?;
        let calls = Calls::ALL.into_iter().find(|known| known.name() == calls);
        let calls =
            calls.ok_or("the calls are confirm, action, fetch, search, exchange and key".to_owned())?;
        let share: f64 = share.parse().map_err(|_| wrong())?;
        if !(0.0..=1.0).contains(&share) {
            return Err("a share is a number from 0 to 1".to_owned());
        }
        Ok(Self { calls, fault: fault.parse()?, share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_back_by_its_name() {
        for (name, fault) in NAMES {
            let text = if fault.with(0) == fault.with(1) { name.to_owned() } else { format!("{name}/503") };
            assert_eq!(text.parse(), Ok(fault.with(503)));
            assert_eq!(fault.with(7).name(), name);
        }
        for wrong in ["nonsense", "http", "http/x", "hang/3", ""] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_names_its_calls() {
        let share: Share = "confirm:cut_late/3000=0.25".parse().unwrap();
        assert_eq!(share, Share::of(Calls::Confirm, Fault::CutLate(3_000), 0.25));
        for wrong in ["confirm:hang", "walk:hang=0.1", "fetch:hang=1.5", "fetch:hang=NaN", "hang=0.1"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
