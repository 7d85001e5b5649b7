//! The stories of the bridge, told against the real RabbitMQ and the real PostgreSQL.
//!
//! One binary: a shared private node is started by the first test that wants it and ends with the process. Each
//! test has vhosts and a database of its own.

#![allow(unreachable_pub, reason = "nothing outside of this program sees its items")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod alerts;
mod attach;
mod breakers;
mod broker;
mod events;
mod front;
mod gateway;
mod harness;
mod inlets;
mod leases;
mod ledger;
mod model;
mod nginx;
mod opencrvs;
mod operator;
mod overload;
mod passthrough;
mod pipeline;
mod replies;
mod rolling;
mod rooms;
mod secrets;
mod spool;
mod sweep;
mod tokens;
mod traces;
mod vendor;
mod waiting;
