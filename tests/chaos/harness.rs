//! The parts of the harness of `tests/it` that the chaos test uses too.

#[path = "../it/harness/clock.rs"]
mod clock;
#[path = "../it/harness/eventually.rs"]
mod eventually_;
#[path = "../it/harness/postgres.rs"]
#[expect(dead_code, reason = "the stories share one cluster, the rig has its own")]
pub mod postgres;

pub use eventually_::eventually;

/// A new path for a temporary directory. The caller makes the directory and removes it.
pub fn temporary(what: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("nidbridge-{what}-{}", uuid::Uuid::new_v4().simple()))
}
