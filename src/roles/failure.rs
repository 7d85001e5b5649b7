//! Why a command fails, and its exit code (from `sysexits.h` if a code there fits).

use std::io::Write as _;
use std::process::ExitCode;

use crate::config::Faults;
use crate::domain::escaped_lines;

/// Shown at the end of the help.
pub const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 what was compared \
differs; 69 something that is needed cannot be reached; \
75 try again later; 78 the configuration is wrong; 130 and 143 ended by a second Ctrl-C or SIGTERM.\n\
`nidbridge config reference` lists all settings.";

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] Faults),
    /// The configuration does not fit the broker or the ledger that it names, which shows only when
    /// they are used.
    #[error("{0:#}")]
    Misconfigured(#[source] anyhow::Error),
    /// The things that were compared differ.
    #[error("{0:#}")]
    Differs(#[source] anyhow::Error),
    /// Something that is needed cannot be reached.
    #[error("{0:#}")]
    Unavailable(#[source] anyhow::Error),
    /// The command may succeed later.
    #[error("{0:#}")]
    Later(#[source] anyhow::Error),
    /// Anything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Misconfigured(_) => 78,
            Self::Differs(_) => 3,
            Self::Unavailable(_) => 69,
            Self::Later(_) => 75,
            Self::Failed(_) => 1,
        }
    }

    /// Writes the failure to stderr and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // If stderr cannot be written to, nobody can be told.
        let text = format!("nidbridge: {self}");
        writeln!(std::io::stderr(), "{}", escaped_lines(&text)).unwrap_or_default();
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_the_code_that_the_help_names() {
        let cause = || anyhow::anyhow!("x");
        let codes = [
            Failure::Config(Faults(Vec::new())),
            Failure::Misconfigured(cause()),
            Failure::Differs(cause()),
            Failure::Unavailable(cause()),
            Failure::Later(cause()),
            Failure::Failed(cause()),
        ]
        .map(|failure| failure.code());
        assert_eq!(codes, [78, 78, 3, 69, 75, 1]);
        for code in codes {
            assert!(EXIT_CODES.contains(&format!(" {code} ")), "{code}");
        }
    }
}
