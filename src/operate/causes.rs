//! `nidbridge causes`: prints what each cause means and what to do about it.

use clap::Args;
use serde::Serialize;

use super::output;
use crate::domain::{Advice, Cause};
use crate::roles::Failure;

/// `nidbridge causes`
#[derive(Debug, Clone, Args)]
pub struct CausesArgs {
    /// Print only this cause.
    #[arg(value_parser = cause)]
    pub cause: Option<Cause>,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Line {
    cause: &'static str,
    means: &'static str,
    action: &'static str,
}

pub(crate) fn run(args: &CausesArgs) -> Result<(), Failure> {
    let selected = |cause: &&Cause| args.cause.is_none_or(|only| only == **cause);
    let lines: Vec<Line> = Cause::ALL.iter().filter(selected).copied().map(line_of).collect();
    if args.json {
        return output::json(&lines);
    }
    if args.cause.is_none() {
        output::line("| cause | what it means | what to do |\n|---|---|---|")?;
    }
    for Line { cause, means, action } in lines {
        output::line(&match args.cause {
            Some(_) => format!("{cause}: {means}\n{action}"),
            None => format!("| `{cause}` | {means} | {action} |"),
        })?;
    }
    Ok(())
}

fn line_of(cause: Cause) -> Line {
    let Advice { means, action } = cause.advice();
    Line { cause: cause.as_str(), means, action }
}

/// Parses a cause on the command line.
pub(crate) fn cause(text: &str) -> Result<Cause, String> {
    Cause::parse(text).ok_or_else(|| "there is no such cause: `nidbridge causes` lists them".to_owned())
}
