//! The kinds of call that faults apply to, and the shares of them that go wrong.

use std::str::FromStr;

use super::fault::Fault;

/// The kind of call that a fault applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Calls {
    /// `confirmRegistration`.
    Confirm,
    /// The calls that answer an action of the events generation: `register.accept`,
    /// `register.reject`, `reject.request`.
    Action,
    /// `fetchRegistration`.
    Fetch,
    /// `searchEvents`, and `event.search` of the events generation.
    Search,
    /// `event.get` of the events generation.
    Read,
    /// The token exchange of auth.
    Exchange,
    /// A system client's request for a token.
    Token,
    /// `GET /.well-known` of auth.
    Key,
}

impl Calls {
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Confirm, "confirm"),
        (Self::Action, "action"),
        (Self::Fetch, "fetch"),
        (Self::Search, "search"),
        (Self::Read, "read"),
        (Self::Exchange, "exchange"),
        (Self::Token, "token"),
        (Self::Key, "key"),
    ];

    /// The name that counters and the command line use.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(calls, _)| *calls == self).map_or("call", |(_, name)| name)
    }

    /// Whether auth serves the call. All others go through the gateway.
    pub(super) fn is_of_auth(self) -> bool {
        matches!(self, Self::Exchange | Self::Token | Self::Key)
    }
}

/// A share of the calls of one kind that go wrong in one way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    pub calls: Calls,
    pub fault: Fault,
    /// From 0 to 1.
    pub share: f64,
}

impl Share {
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
        let calls = Calls::ALL.into_iter().find(|(_, name)| *name == calls).map(|(calls, _)| calls);
        let calls = calls.ok_or_else(|| {
            let names = Calls::ALL.map(|(_, name)| name);
            format!("the calls are {}", names.join(", "))
        })?;
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
    fn a_share_names_its_calls() {
        let share: Share = "confirm:cut_late/3000=0.25".parse().unwrap();
        assert_eq!(share, Share::of(Calls::Confirm, Fault::cut_late(3_000), 0.25));
        for wrong in ["confirm:hang", "walk:hang=0.1", "fetch:hang=1.5", "fetch:hang=NaN", "hang=0.1"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
