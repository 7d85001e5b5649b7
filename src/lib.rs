//! Carries a civil registration from OpenCRVS to a National ID system, and the answer back.
//!
//! # The path of one registration
//! 1. OpenCRVS calls the [`front`], which seals the registration, publishes it and answers 202.
//! 2. The [`worker`] records it in the [`ledger`] and sends the ID system a request ([`nid`]).
//! 3. The ID system replies. The [`worker`] records the answer and publishes an outcome.
//! 4. The [`confirmer`] leases the record, reads it and writes the answer to [`opencrvs`].
//! 5. A registration that cannot be answered is parked, and an [`alert`] notifies an operator.
//!
//! [`pipeline`] defines the queues and messages between these steps, and [`broker`] carries the
//! messages. The decisions are made in [`domain`], which is pure: it uses no clock, no socket and
//! no random numbers.
//!
//! Invariant: every accepted registration is answered in OpenCRVS exactly once, or an operator is
//! told why not.

// The modules, lowest layer first: no module imports from a module below it in this list.

// decisions and types, pure
pub mod domain;

// settings; sealing of personal data; logs, traces and metrics
pub mod config;
pub mod seal;
pub mod telemetry;

// an HTTP server that bounds its callers
pub mod listener;

// the AMQP engine, which knows nothing about our queues
pub mod broker;

// the database
pub mod ledger;

// the wire formats of the ID system and of OpenCRVS
pub mod nid;
pub mod opencrvs;

// our queues and messages, and what all stages share
pub mod pipeline;

// the work of the processes
pub mod admin;
pub mod alert;
pub mod confirmer;
pub mod front;
pub mod worker;

// how the processes are put together
pub mod roles;

// the operator's commands
pub mod operate;

// simulators and demo; no product code imports it
pub mod sandbox;

// the command line
pub mod cli;

// entry points for property tests and fuzzers
#[cfg(feature = "inlets")]
pub mod inlets;
