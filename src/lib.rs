//! Carries a civil registration from OpenCRVS to a National ID system, and the answer back.
//!
//! # The way of one registration
//! 1. OpenCRVS calls the [`front`], which seals the registration, publishes it and answers 202.
//! 2. The [`worker`] records it in the [`ledger`] and sends the ID system a request ([`nid`]).
//! 3. The ID system replies. The [`worker`] records the answer and publishes an outcome.
//! 4. The [`confirmer`] leases the record, reads it and writes the answer to [`opencrvs`].
//! 5. What cannot be answered is parked, and an [`alert`] calls an operator.
//!
//! [`pipeline`] defines the queues and messages between these steps, [`broker`] carries them. The
//! decisions are in [`domain`], which is pure: no clock, no socket, no randomness.
//!
//! Invariant: every accepted registration is answered in OpenCRVS exactly once, or an operator is
//! told why not.

// The rooms, from the ground up: none imports from a room below it in this list.

// decisions and types, pure
pub mod domain;

// settings; sealing of personal data; logs, traces and metrics
pub mod config;
pub mod seal;
pub mod telemetry;

// the AMQP engine, which knows none of our queues
pub mod broker;

// the database
pub mod ledger;

// the wire formats of either side
pub mod nid;
pub mod opencrvs;

// our queues and messages, and what all stages share
pub mod pipeline;

// the work
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

// for property tests and fuzzers
#[cfg(feature = "inlets")]
pub mod inlets;
