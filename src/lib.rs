//! NID Bridge carries a civil registration from OpenCRVS to a National ID system and the answer back.
//!
//! # The way of one registration
//! [`front`] takes the HTTP call and answers 202 once the broker has the message. [`worker`] records it in the
//! [`ledger`], asks the National ID system through [`nid`] and resolves the reply. [`confirmer`] decides what
//! OpenCRVS is told and tells it through [`opencrvs`]. [`broker`] carries what passes between them. [`alert`] calls an
//! operator.
//!
//! [`domain`] is the pure core under all of them: no clock, no socket, no randomness.
//!
//! Invariant: every accepted registration is answered in OpenCRVS exactly once, or an operator is told why not.

pub mod admin;
pub mod alert;
pub mod broker;
pub mod cli;
pub mod config;
pub mod confirmer;
pub mod domain;
pub mod front;
#[cfg(feature = "inlets")]
pub mod inlets;
pub mod ledger;
pub mod nid;
pub mod opencrvs;
pub mod operate;
pub mod pipeline;
pub mod roles;
pub mod sandbox;
pub mod seal;
pub mod telemetry;
pub mod worker;
