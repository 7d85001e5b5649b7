//! The harness of the tests: vhosts and a database for each test, a network that can be broken, and
//! waiting with a deadline.
//!
//! Invariant: tests wait for conditions with a deadline, and nothing that a test starts outlives
//! the test process.

pub mod child;
pub mod clock;
pub mod eventually;
pub mod http;
pub mod ledgers;
#[expect(dead_code, reason = "only the rig kills it")]
pub mod nginx;
pub mod ports;
#[expect(dead_code, reason = "the rig ends and recovers its cluster, the stories share one")]
pub mod postgres;
#[expect(dead_code, reason = "only the rig blocks one direction, and counts")]
pub mod proxy;
mod selftest;
pub mod vhosts;
pub mod world;

pub use eventually::eventually;
pub use proxy::ChaosProxy;
pub use vhosts::{Vhosts, temporary};
