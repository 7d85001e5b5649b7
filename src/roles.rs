//! How each process is put together: front, worker, confirmer, or all of them in one.
//!
//! Each role is one straight function: open what it needs, build its parts, register them on a
//! `runner`, run, close. `parts` makes the parts that more than one process needs; `start` does
//! what every process does before and after its role.
//!
//! Invariant: the modules of lower layers never read the configuration as a whole. Each part is
//! given its own settings.

mod acceptance;
mod access;
mod alarm;
pub(crate) mod all;
mod auth_key;
mod belonging;
mod breakers;
mod clock;
pub(crate) mod confirmer;
mod failure;
mod files;
pub(crate) mod front;
pub(crate) mod parts;
mod refused;
mod runner;
mod set_aside;
pub(crate) mod shutdown;
pub(crate) mod sources;
pub(crate) mod start;
pub(crate) mod worker;

pub use breakers::Breakers;
pub use failure::{EXIT_CODES, Failure};
pub use start::Process;
