//! `nidbridge`: parses the command line and leaves the rest to the library.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    nidbridge::cli::run(nidbridge::cli::Cli::parse())
}
