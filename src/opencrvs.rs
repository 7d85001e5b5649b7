//! OpenCRVS on the wire: the documents that it sends, the tokens that it issues, and the calls that
//! answer it.
//!
//! FHIR generation (1.7–1.9): a bundle comes in, a GraphQL mutation goes out ([`fhir`]). Events
//! generation (1.9–2.x): an event document comes in, a tRPC call goes out ([`events`]). Both make
//! their calls in one way and fail with one [`OpencrvsFault`].
//!
//! Invariant: a token is in no error, in no log line and in no URL that is logged; an error in an
//! HTTP 200 is an error.

mod call;
mod document;
pub mod events;
mod exchange;
mod fault;
pub mod fhir;
#[cfg(feature = "inlets")]
pub mod inlet;
mod keys;
mod token;

pub use call::ClientSettings;
pub use document::Document;
pub use exchange::{RenewalFault, TokenExchange};
pub use fault::{FaultClass, OpencrvsFault};
pub use keys::{KeyId, KeyStore, KeyStoreSettings};
pub use token::{RecordToken, TokenFault};
pub(crate) use token::{action_of, may_reject_record};
