//! The stories of the bridge, told against the real RabbitMQ and the real PostgreSQL.
//!
//! One binary: a shared private node is started by the first test that wants it and ends with the process. Each
//! test has vhosts and a database of its own.

mod broker;
mod harness;
mod vendor;
