//! What operators do: look at registrations, let them go on, look after queues, seals, spools and tokens.
//!
//! Invariant: data goes to stdout and everything else to stderr; whatever changes something names who did it and why.

pub(crate) mod attempts;
pub(crate) mod causes;
pub(crate) mod config;
pub(crate) mod healthcheck;
pub(crate) mod output;
pub(crate) mod queue;
pub(crate) mod reconcile;
pub(crate) mod recover;
pub(crate) mod seal;
pub(crate) mod spool;
pub(crate) mod tokens;
pub(crate) mod topology;
