//! OpenCRVS on the wire: the documents that it sends, the tokens that it issues, and the calls that
//! answer it.
//!
//! The FHIR generation (1.7–1.9) sends a bundle and is answered by a GraphQL mutation ([`fhir`]).
//! The events generation (1.9–2.x) sends an event document and is answered by a tRPC call
//! ([`events`]). Both modules use the same HTTP client and the same error type, [`OpencrvsFault`].
//!
//! Invariant: no error, no log line and no logged URL contains a token; an error in an HTTP 200
//! response counts as an error.

#[cfg(test)]
mod bare_server;
mod call;
mod client;
mod clock;
mod document;
pub mod events;
mod exchange;
mod fault;
pub mod fhir;
#[cfg(feature = "inlets")]
pub mod inlet;
mod integrations;
mod keys;
mod raw;
mod reading;
mod text;
mod token;

pub use call::ClientSettings;
pub use client::{AccessToken, ClientCredentials, ClientFault, Right, SystemClient};
pub use clock::ServiceClock;
pub use document::Document;
pub use exchange::{RenewalFault, TokenExchange};
pub use fault::{FaultClass, OpencrvsFault};
pub use integrations::{IntegrationFault, Integrations, Registered, WantedClient, scope_of};
pub use keys::{Judgement, KeyFault, KeyId, KeyStore, KeyStoreSettings};
pub use reading::Reading;
pub use token::{BootstrapToken, RecordToken, ServiceToken, TokenFault, VerifiedToken};
pub(crate) use token::{action_of, may_read_record, may_reject_record};
