//! What a command prints: on stdout, and nothing else goes there.

use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;

use super::Failure;

/// Prints a text and ends the line.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // `nidbridge config reference | head` is no failure
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written.context("stdout cannot be written")?),
    }
}
