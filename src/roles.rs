//! How each process is put together: front, worker, confirmer, or all of them in one.
//!
//! Each role is one straight function: open what it needs, build its parts, run its loops, drain. [`parts`] makes the
//! parts that more than one of them needs from the configuration; [`start`] is what every process does around its role.
//!
//! Invariant: parts are put together here and nowhere else; below this room nobody reads the configuration as a whole.

pub(crate) mod all;
mod breakers;
pub(crate) mod confirmer;
mod failure;
pub(crate) mod front;
pub(crate) mod parts;
mod runner;
pub(crate) mod shutdown;
pub(crate) mod start;
pub(crate) mod worker;

pub use breakers::Breakers;
pub use failure::{EXIT_CODES, Failure};
pub use start::Process;
