//! The front: the HTTP server that OpenCRVS calls. It accepts a registration and answers 202 once
//! the broker or the spool has it.
//!
//! Its steps are: authenticate, read, parse into the view, seal, publish, answer. It needs only the
//! broker and the public key of OpenCRVS's auth service. The next step is the
//! [`worker`](crate::worker).
//!
//! Invariant: the front answers 2xx only after the broker's confirm, or once the [`spool`] has
//! stored the registration durably. The document is dropped here; only the sealed view and the
//! sealed token (but no service token) are published. No response to OpenCRVS holds personal data,
//! except a sync answer.

mod accept;
mod body;
mod callers;
mod guard;
mod handover;
mod memory;
mod number_header;
pub mod passthrough;
mod path;
mod refusal;
mod refusals;
mod routes;
mod server;
pub mod spool;
mod sync_answer;
mod system_ready;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

pub use number_header::NumberHeader;
pub use refusal::Refusal;
pub use server::serve;
pub use sync_answer::SyncAnswers;
pub use system_ready::ClientRegistration;
pub use waiting::WaitingCallers;

use tokio::sync::watch;

use crate::broker::Publisher;
use crate::listener::ListenerSettings;
use crate::opencrvs::{KeyStore, Reading};
use crate::pipeline::AdmissionState;
use crate::seal::Sealer;
use crate::telemetry::Metrics;
use passthrough::Passthrough;
use spool::Spool;

/// The dependencies and settings of the front.
pub struct Front {
    /// Verifies the tokens of registrations.
    pub keys: Arc<KeyStore>,
    /// Seals view and token.
    pub sealer: Arc<Sealer>,
    /// How documents are read.
    pub reading: Reading,
    pub publisher: Publisher,
    /// Whether this front and the other roles of the broker share their keys. If not, it accepts
    /// nothing, because the others could not decrypt it.
    pub admission: watch::Receiver<AdmissionState>,
    /// Stores registrations while the broker is unavailable. Without a spool, they are refused
    /// during that time.
    pub spool: Option<Spool>,
    /// Whether registrations of the events generation are accepted. They require a spool.
    pub events: bool,
    /// Without sync answers, every caller gets 202 at once.
    pub sync_answers: Option<SyncAnswers>,
    /// Registers the bridge's client in OpenCRVS. `None` unless the settings ask for it.
    pub client_registration: Option<ClientRegistration>,
    /// Proxies every request that is not a registration. Without a proxy, such a request is
    /// refused.
    pub passthrough: Option<Passthrough>,
    /// Whether the country's own handler may give the registration number.
    pub number_header: NumberHeader,
    /// Is told why, when the front refuses one registration after the other.
    pub all_refused: watch::Sender<Option<String>>,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
}

#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum size of a body in bytes.
    pub max_body: usize,
    /// Maximum memory in bytes for all bodies together.
    pub body_memory: usize,
    /// Longest pause within a body before its request is refused.
    pub body_timeout: Duration,
    /// Bytes a second that a body has to reach on average, not counting the first `body_timeout`.
    pub body_rate: usize,
    /// Longest wait of a request for memory for its body.
    pub memory_wait: Duration,
    /// Time for which a request waits while the broker is unavailable.
    pub hold: Duration,
    pub listener: ListenerSettings,
    /// Time that running requests have to finish after the front is told to stop.
    pub drain: Duration,
}
