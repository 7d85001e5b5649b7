//! Tests of the whole bridge against a real RabbitMQ and a real PostgreSQL.
//!
//! They are one binary, because all tests share a private RabbitMQ node and a private PostgreSQL
//! server. The first test that needs one of the two starts it, and both end with the process. Each
//! test has its own vhosts and its own database.

#![allow(unreachable_pub, reason = "nothing outside of this program sees its items")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod able;
mod alerts;
mod attach;
mod belonging;
mod breakers;
mod broker;
mod client;
mod clocks;
mod doors;
mod events;
mod front;
mod gateway;
mod harness;
mod healthy;
mod inlets;
mod leases;
mod ledger;
mod nginx;
mod numbers;
mod opencrvs;
mod operator;
mod overload;
mod passthrough;
mod pipeline;
mod replies;
mod rights;
mod rolling;
mod rooms;
mod secrets;
mod send_check;
mod spool;
mod sweep;
mod tokens;
mod traces;
mod unfit;
mod unheard;
mod vendor;
mod waiting;
