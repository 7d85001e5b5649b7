//! How long OpenCRVS waits for a sync answer, by kind of event.

use std::collections::BTreeMap;
use std::time::Duration;

use super::forms::Span;
use super::setting::Form;
use crate::domain::EventKind;

/// The maximum wait. OpenCRVS core has no timeout of its own for this request, and the registrar's
/// browser waits for the same time.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    /// The wait for kinds of event without a wait of their own.
    others: Duration,
    named: BTreeMap<String, Duration>,
}

impl Waits {
    /// The wait for a registration of this kind. Zero means that OpenCRVS does not wait.
    pub fn of(&self, kind: &EventKind) -> Duration {
        self.named.get(kind.as_str()).copied().unwrap_or(self.others)
    }

    /// All waits except zero.
    pub fn lengths(&self) -> impl Iterator<Item = Duration> {
        self.named.values().copied().chain([self.others]).filter(|wait| !wait.is_zero())
    }

    pub fn longest(&self) -> Option<Duration> {
        self.lengths().max()
    }
}

impl Form for Waits {
    type Value = Self;
    const EXPECTED: &'static str =
        "a duration of up to 60s for all kinds of event, or one for each such as birth=8s,death=5s";

    fn parse(text: &str) -> Result<Self, String> {
        let mut waits = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (kind, wait) = match part.split_once('=') {
                Some((kind, wait)) => (Some(kind.trim()), wait.trim()),
                None => (None, part),
            };
            let wait = match wait {
                "0" | "0s" => Duration::ZERO,
                wait => Span::parse(wait)?,
            };
            if wait > LONGEST {
                return Err(format!("makes OpenCRVS wait for longer than {} s", LONGEST.as_secs()));
            }
            match kind {
                Some("") => return Err("names no kind of event before a =".to_owned()),
                Some(kind) => {
                    waits.named.insert(EventKind::from_name(kind).as_str().to_owned(), wait);
                }
                None => waits.others = wait,
            }
        }
        Ok(waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_wait_and_the_others_share_one() {
        let waits = Waits::parse("birth=8s, DEATH=0s,2s").unwrap();
        let seconds = |name: &str| waits.of(&EventKind::from_name(name)).as_secs();
        assert_eq!([seconds("birth"), seconds("death"), seconds("marriage")], [8, 0, 2]);
        assert_eq!(waits.longest(), Some(Duration::from_secs(8)));
        let none = Waits::parse("").unwrap();
        assert_eq!((none.of(&EventKind::Birth), none.longest()), (Duration::ZERO, None));
        for wrong in ["61s", "=5s", "birth=", "birth=soon", "5"] {
            assert!(Waits::parse(wrong).is_err(), "{wrong}");
        }
    }
}
