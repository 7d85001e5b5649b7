//! AMQP's short strings, which hold at most 255 bytes.
//!
//! Invariant: a text that is too long is an error. lapin's own conversions panic instead.

use lapin::types::ShortString;

/// A text that is too long for a short string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is longer than the 255 bytes that AMQP has for it")]
pub struct TooLong(pub &'static str);

/// `what` names the text in the error.
pub(super) fn short(text: &str, what: &'static str) -> Result<ShortString, TooLong> {
    ShortString::try_new(text).map_err(|_| TooLong(what))
}
