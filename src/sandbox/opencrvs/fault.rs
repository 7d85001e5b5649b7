//! The ways in which a call can go wrong: OpenCRVS answers with an error, or the connection between
//! OpenCRVS and the caller fails.

use std::str::FromStr;

use super::errors::ErrorRow;

/// One way for a call to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub failure: Failure,
    pub effect: Effect,
}

/// What happens to the answer of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// OpenCRVS answers with this error.
    Error(&'static ErrorRow),
    /// A proxy answers with this HTTP status and a useless body.
    Http(u16),
    /// A proxy answers 200 with an HTML page.
    NotJson,
    /// No answer comes.
    Hang,
    /// The answer comes this many milliseconds late.
    Slow(u64),
    /// The connection breaks before the first byte of the answer.
    Cut,
    /// The connection breaks in the middle of the answer's body.
    Truncated,
}

/// Whether and when a call takes effect, for example registers a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Never,
    AtOnce,
    /// The effect comes this many milliseconds after the call, whatever the record's state is by
    /// then.
    Late(u64),
}

/// Defines each fault as a constant, with the name that counters and the command line use.
macro_rules! faults {
    ($($constant:ident $name:literal => $fault:expr;)*) => {
        impl Fault {
            $(pub const $constant: Self = $fault;)*
        }
        const NAMES: &[(&str, Fault)] = &[
            $(($name, $fault),)*
            // A number is a placeholder for the one that follows the name.
            ("http", Fault::http(0)),
            ("http_after", Fault::http_after(0)),
            ("hang_late", Fault::hang_late(0)),
            ("cut_late", Fault::cut_late(0)),
            ("delay", Fault::delay(0)),
        ];
    };
}

faults! {
    UNAUTHORIZED "unauthorized" => Fault::error(&ErrorRow::UNAUTHORIZED);
    AUTHENTICATION_FAILED "authentication_failed" => Fault::error(&ErrorRow::AUTHENTICATION_FAILED);
    USER_MANAGEMENT_DOWN "user_management_down" => Fault::error(&ErrorRow::USER_MANAGEMENT_DOWN);
    NO_SCOPE "no_scope" => Fault::error(&ErrorRow::NO_CONFIRM_SCOPE);
    OTHER_RECORD "other_record" => Fault::error(&ErrorRow::OTHER_RECORD);
    FAILS_BEFORE "fails_before" => Fault::error(&ErrorRow::CONFIRM_FAILED);
    FAILS_AFTER "fails_after" => Fault::of(Failure::Error(&ErrorRow::CONFIRM_FAILED), Effect::AtOnce);
    WORKFLOW_UNREACHABLE "workflow_unreachable" => Fault::error(&ErrorRow::WORKFLOW_UNREACHABLE);
    WORKFLOW_UNAUTHORIZED "workflow_unauthorized" => Fault::error(&ErrorRow::WORKFLOW_UNAUTHORIZED);
    WORKFLOW_FORBIDDEN "workflow_forbidden" => Fault::error(&ErrorRow::WORKFLOW_FORBIDDEN);
    PARSE_FAILED "parse_failed" => Fault::error(&ErrorRow::PARSE_FAILED);
    VALIDATION_FAILED "validation_failed" => Fault::error(&ErrorRow::VALIDATION_FAILED);
    BAD_USER_INPUT "bad_user_input" => Fault::error(&ErrorRow::BAD_DETAILS);
    RATE_LIMITED "rate_limited" => Fault::error(&ErrorRow::RATE_LIMITED);
    NOT_JSON "not_json" => Fault::of(Failure::NotJson, Effect::Never);
    HANG "hang" => Fault::of(Failure::Hang, Effect::Never);
    HANG_AFTER "hang_after" => Fault::of(Failure::Hang, Effect::AtOnce);
    CUT_BEFORE "cut_before" => Fault::of(Failure::Cut, Effect::Never);
    CUT_AFTER "cut_after" => Fault::of(Failure::Cut, Effect::AtOnce);
    TRUNCATED_BEFORE "truncated_before" => Fault::of(Failure::Truncated, Effect::Never);
    TRUNCATED_AFTER "truncated_after" => Fault::of(Failure::Truncated, Effect::AtOnce);
}

impl Fault {
    pub const fn http(status: u16) -> Self {
        Self::of(Failure::Http(status), Effect::Never)
    }

    pub const fn http_after(status: u16) -> Self {
        Self::of(Failure::Http(status), Effect::AtOnce)
    }

    pub const fn delay(ms: u64) -> Self {
        Self::of(Failure::Slow(ms), Effect::AtOnce)
    }

    pub const fn hang_late(ms: u64) -> Self {
        Self::of(Failure::Hang, Effect::Late(ms))
    }

    pub const fn cut_late(ms: u64) -> Self {
        Self::of(Failure::Cut, Effect::Late(ms))
    }

    const fn error(error: &'static ErrorRow) -> Self {
        Self::of(Failure::Error(error), Effect::Never)
    }

    const fn of(failure: Failure, effect: Effect) -> Self {
        Self { failure, effect }
    }

    /// The name that counters and the command line use.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, fault)| fault.with(0) == self.with(0)).map_or("fault", |(name, _)| name)
    }

    /// The same fault with another status or number of milliseconds, if the fault has one.
    fn with(self, number: u64) -> Self {
        match self {
            Self { failure: Failure::Http(_), .. } => {
                Self { failure: Failure::Http(u16::try_from(number).unwrap_or(u16::MAX)), ..self }
            }
            Self { failure: Failure::Slow(_), .. } => Self { failure: Failure::Slow(number), ..self },
            Self { effect: Effect::Late(_), .. } => Self { effect: Effect::Late(number), ..self },
            _ => self,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_back_by_its_name() {
        for &(name, fault) in NAMES {
            let text = if fault.with(0) == fault.with(1) { name.to_owned() } else { format!("{name}/503") };
            assert_eq!(text.parse(), Ok(fault.with(503)));
            assert_eq!(fault.with(7).name(), name);
        }
        for wrong in ["nonsense", "http", "http/x", "hang/3", ""] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }
}
