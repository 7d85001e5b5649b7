//! The operator's commands, which show and resume registrations, and manage queues, keys, spools
//! and tokens.
//!
//! `session` opens and closes the ledger and the broker links of a command; `change` has the flags
//! of commands that change something; `tally` counts what was done and derives the exit code;
//! `output` prints results.
//!
//! Invariant: results go to stdout and everything else to stderr; every change of a registration is
//! recorded with the name of who made it.

pub(crate) mod attempts;
pub(crate) mod causes;
mod change;
pub(crate) mod config;
pub(crate) mod healthcheck;
pub(crate) mod opencrvs;
pub(crate) mod output;
pub(crate) mod queue;
pub(crate) mod reconcile;
pub(crate) mod recover;
pub(crate) mod seal;
mod session;
pub(crate) mod spool;
mod tally;
pub(crate) mod tokens;
pub(crate) mod topology;
