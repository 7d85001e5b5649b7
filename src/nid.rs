//! The National ID side: what an ID system is asked, and what it answers.
//!
//! The only adapter so far uses the queue contract: CloudEvents in JSON that match
//! `contract/request.v1.json` and `contract/reply.v1.json`.
//!
//! Invariant: only fields that the mapping names leave the bridge; this module gets neither the
//! record token nor the document.

mod date;
mod kind;
mod language;
mod not_asked;
mod person;
mod reply;
mod request;

pub use kind::RequestKind;
pub use not_asked::why_not_asked;
pub use person::FieldFaults;
pub use reply::{Malformed, RefusedReply, Reply, Status};
pub use request::{Ask, Facts, Request, ask, fitness};

/// The JSON Schema of a request, published for vendors.
pub const REQUEST_SCHEMA: &str = include_str!("nid/contract/request.v1.json");
/// The JSON Schema of a reply, published for vendors.
pub const REPLY_SCHEMA: &str = include_str!("nid/contract/reply.v1.json");
/// The AsyncAPI 3 document of the contract, published for vendors.
pub const ASYNCAPI: &str = include_str!("nid/contract/asyncapi.yaml");
