//! The functions that read what others send, for property tests and fuzzers, which have no socket.
//!
//! Only with the feature `inlets`, which no product build has. What is public already, such as
//! [`crate::opencrvs::fhir::read`], is not here again.
//!
//! Invariant: nothing is decided here; each function calls the one that production calls.

pub use crate::broker::inlet as amqp;
pub use crate::front::spool::inlet as spool;
pub use crate::opencrvs::inlet as opencrvs;
