//! What a process says of itself: logs, traces, metrics.
//!
//! Invariant: personal data and tokens are in none of them; one trace follows a registration from the front to the
//! confirmer, carried in message headers.

mod metrics;
pub mod names;

pub use metrics::Metrics;
