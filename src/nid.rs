//! The National ID side: what an ID system is asked, and what it answers.
//!
//! The queue contract (CloudEvents JSON, `contract/request.v1.json` and `reply.v1.json`) is the first adapter. Only
//! what the mapping names leaves the bridge.
//!
//! Invariant: the record token never comes here, and neither does the document.

mod person;
mod reply;
mod request;

pub use reply::{Malformed, Reply, Status};
pub use request::{Ask, Facts, Request, ask};

/// The JSON Schema of a request, as vendors get it.
pub const REQUEST_SCHEMA: &str = include_str!("nid/contract/request.v1.json");
/// The JSON Schema of a reply, as vendors get it.
pub const REPLY_SCHEMA: &str = include_str!("nid/contract/reply.v1.json");
/// The AsyncAPI 3 document of the contract, as vendors get it.
pub const ASYNCAPI: &str = include_str!("nid/contract/asyncapi.yaml");
