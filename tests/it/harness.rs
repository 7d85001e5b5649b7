//! What a story needs: a broker and a database of its own, a network that can be broken, patience with a limit.
//!
//! Invariant: tests wait for conditions, with a deadline; nothing they start outlives the process.

pub mod clock;
pub mod eventually;
pub mod ground;
pub mod http;
pub mod ledgers;
#[path = "../chaos/nginx.rs"]
#[expect(dead_code, reason = "only the rig kills it")]
pub mod nginx;
#[expect(dead_code, reason = "the rig ends and recovers its cluster, the stories share one")]
pub mod postgres;
pub mod proxy;
mod selftest;
pub mod world;

pub use eventually::eventually;
pub use ground::{Ground, temporary};
pub use proxy::ChaosProxy;
