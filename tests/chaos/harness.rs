//! The parts of the harness of `tests/it` that the chaos test uses too.

#[path = "../it/harness/child.rs"]
pub mod child;
#[path = "../it/harness/clock.rs"]
mod clock;
#[path = "../it/harness/eventually.rs"]
mod eventually_;
#[path = "../it/harness/http.rs"]
#[expect(dead_code, reason = "the rig calls the management API of whichever node answers")]
pub mod http;
#[path = "../it/harness/nginx.rs"]
pub mod nginx;
#[path = "../it/harness/ports.rs"]
pub mod ports;
#[path = "../it/harness/postgres.rs"]
#[expect(dead_code, reason = "the stories share one cluster, the rig has its own")]
pub mod postgres;
#[path = "../it/harness/proxy.rs"]
#[expect(dead_code, reason = "the rig sets the mode by its value")]
pub mod proxy;

pub use eventually_::eventually;
pub use proxy::{ChaosProxy, Mode};

/// A new path for a temporary directory. The caller makes the directory and removes it.
pub fn temporary(what: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("nidbridge-{what}-{}", uuid::Uuid::new_v4().simple()))
}
