//! The flags of every command that changes single registrations or messages: `--reason`, `--by`,
//! `--dry-run`.
//!
//! Invariant: nothing is changed without a reason and a name.

use clap::Args;

use crate::config::Sources;

/// Why something is changed and by whom, or that nothing is to be changed.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// Why you do this, in one line. It is kept with what you change.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", value_parser = one_line)]
    reason: Option<String>,
    /// Your name. The default is the name of your account.
    #[arg(long, value_name = "NAME", value_parser = one_line)]
    by: Option<String>,
    /// Change nothing: only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// What a command is to do.
pub(super) enum Mode<'a> {
    DryRun,
    Change { reason: &'a str },
}

impl ChangeArgs {
    pub(super) fn mode(&self) -> Mode<'_> {
        match &self.reason {
            Some(reason) if !self.dry_run => Mode::Change { reason },
            Some(_) | None => Mode::DryRun,
        }
    }

    pub(super) fn by(&self) -> String {
        self.by.clone().unwrap_or_else(account)
    }
}

/// The account name from the environment, or the user id if the environment has no name.
pub(super) fn account() -> String {
    let environment = Sources::of_process(None).environment;
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| environment.get(name).cloned());
    let name = name.filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
    name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// Refuses control characters, because the history is shown on terminals.
pub(super) fn one_line(text: &str) -> Result<String, String> {
    let text = text.trim();
    let usable = !text.is_empty() && text.chars().count() <= 500 && !text.chars().any(char::is_control);
    if usable { Ok(text.to_owned()) } else { Err("write one line of up to 500 characters".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        change: ChangeArgs,
    }

    fn parse(flags: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from([&["nidbridge"], flags].concat())
    }

    #[test]
    fn a_change_needs_a_reason_and_a_dry_run_changes_nothing_even_with_one() {
        assert!(parse(&[]).is_err());
        let changes = parse(&["--reason", " is back ", "--by", "ada"]).unwrap().change;
        assert!(matches!(changes.mode(), Mode::Change { reason: "is back" }));
        assert_eq!(changes.by(), "ada");
        for flags in [&["--dry-run"][..], &["--dry-run", "--reason", "is back"]] {
            assert!(matches!(parse(flags).unwrap().change.mode(), Mode::DryRun), "{flags:?}");
        }
    }

    #[test]
    fn a_reason_is_one_line_that_steers_no_terminal() {
        let long = "x".repeat(501);
        for text in ["", "  ", "two\nlines", "\u{1b}[2J", long.as_str()] {
            assert!(one_line(text).is_err(), "{text:?}");
        }
    }
}
