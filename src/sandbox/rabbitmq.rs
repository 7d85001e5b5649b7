//! A private RabbitMQ broker in a directory of its own: for the demo, the sandbox and the tests.
//!
//! It uses the RabbitMQ package of the system and nothing else: the ports (on the loopback
//! interface), the cookie, the port mapper and the data are its own. A RabbitMQ node of the system
//! is not touched. With `NIDBRIDGE_RABBITMQ` set, the package comes from another root file system
//! (see `installation`). A single node is a [`Cluster`] of one.
//!
//! Invariant: no process is left running when ours ends, however it ends (see
//! [`guardian`](super::guardian)).

mod cluster;
mod installation;
mod launch;
mod node;

use std::io;
use std::time::Duration;

pub use self::cluster::Cluster;
pub use self::node::Control;

const BRIDGE: &str = "nidbridge";
const VENDOR: &str = "vendor";
const OPERATOR: &str = "operator";
/// Polling interval while waiting for a condition.
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("RabbitMQ is not installed: run `apt-get install -y --no-install-recommends rabbitmq-server`")]
    Missing,
    #[error("there is no such node")]
    NoSuchNode,
    #[error("the private RabbitMQ node: {what}")]
    Io {
        what: &'static str,
        #[source]
        cause: io::Error,
    },
    #[error("the private RabbitMQ node {what}; its log ends with:\n{tail}")]
    NotReady { what: &'static str, tail: String },
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> NodeError {
    move |cause| NodeError::Io { what, cause }
}
