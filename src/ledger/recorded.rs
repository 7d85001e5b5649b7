//! Names in the ledger that operators see and group by; no step of the pipeline depends on them.
//!
//! Invariant: a name that this release does not know, for example because a newer release wrote it,
//! is read as it is. An error would stop an attempt because of a label, and a substitute such as
//! `internal` would mislead the operator.

use super::Stage;
use crate::domain::Cause;

/// A name that this release knows, or the text of one that it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded<T> {
    Known(T),
    Unknown(String),
}

impl<T: Copy> Recorded<T> {
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Unknown(_) => None,
        }
    }

    fn read(text: String, parse: impl Fn(&str) -> Option<T>) -> Self {
        parse(&text).map_or(Self::Unknown(text), Self::Known)
    }
}

impl Recorded<Cause> {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(cause) => cause.as_str(),
            Self::Unknown(text) => text,
        }
    }

    pub(super) fn cause(text: String) -> Self {
        Self::read(text, Cause::parse)
    }
}

impl Recorded<Stage> {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(stage) => stage.as_str(),
            Self::Unknown(text) => text,
        }
    }

    pub(super) fn stage(text: String) -> Self {
        Self::read(text, Stage::parse)
    }
}

impl<T> From<T> for Recorded<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_another_release_is_kept_as_a_text() {
        assert_eq!(Recorded::cause("moved_on".into()), Recorded::Known(Cause::MovedOn));
        let newer = Recorded::cause("of_a_newer_release".into());
        assert_eq!((newer.as_str(), newer.known()), ("of_a_newer_release", None));
        for stage in Stage::ALL {
            assert_eq!(Recorded::stage(stage.as_str().into()), Recorded::Known(stage));
        }
    }
}
