//! The parts of the stories' harness that the rig uses too.

#[path = "../it/harness/clock.rs"]
mod clock;
#[path = "../it/harness/eventually.rs"]
mod eventually_;
#[path = "../it/harness/postgres.rs"]
#[expect(dead_code, reason = "the stories share one cluster, the rig has its own")]
pub mod postgres;

pub use eventually_::eventually;

/// A new path for a temporary directory. Whoever makes the directory removes it.
pub fn temporary(what: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("nidbridge-{what}-{}", uuid::Uuid::new_v4().simple()))
}
