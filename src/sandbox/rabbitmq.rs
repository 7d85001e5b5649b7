//! A private RabbitMQ broker in a directory of its own: for the demo, the sandbox and the tests.
//!
//! It uses the RabbitMQ package of the system and nothing else: the ports (on the loopback
//! interface), the cookie, the port mapper and the data are its own. A RabbitMQ node of the system
//! is not touched. With `NIDBRIDGE_RABBITMQ` set, the package comes from another root file system
//! (see `installation`). [`Cluster`] is one or more nodes; [`Node`] is a cluster of one.
//!
//! Invariant: no process is left running when ours ends, however it ends (see
//! [`guardian`](super::guardian)).

mod cluster;
mod installation;
mod launch;

use std::io;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

pub use self::cluster::{Cluster, Control};
use crate::broker::Topology;

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

/// A cluster of one node, in a directory that is removed when our process ends.
#[derive(Debug)]
pub struct Node {
    cluster: Cluster,
}

impl Node {
    /// Creates the directory, starts a node, and waits until the node is ready.
    ///
    /// # Errors
    /// [`NodeError`] says what is missing, or shows the end of the log.
    pub async fn start_temporary(dir: &Path, topologies: &[Topology]) -> Result<Self, NodeError> {
        Ok(Self { cluster: Cluster::start_temporary(dir, topologies).await? })
    }

    /// The URL of a vhost, for the bridge.
    pub fn amqp_url(&self, vhost: &str) -> SecretString {
        self.amqp_url_by(self.amqp_port(), vhost)
    }

    /// The URL of a vhost through another port, such as that of a proxy.
    pub fn amqp_url_by(&self, port: u16, vhost: &str) -> SecretString {
        self.cluster.amqp_url_by(port, vhost)
    }

    /// The URL of a vhost, for the vendor.
    pub fn vendor_url(&self, vhost: &str) -> SecretString {
        self.cluster.vendor_url_by(self.amqp_port(), vhost)
    }

    pub fn amqp_port(&self) -> u16 {
        self.cluster.amqp_ports().first().copied().unwrap_or_default()
    }

    /// The port of the management API, on the loopback interface.
    pub fn management_port(&self) -> u16 {
        self.cluster.management_ports().first().copied().unwrap_or_default()
    }

    /// Name and password of the user of the management API.
    pub fn operator(&self) -> (&'static str, &SecretString) {
        self.cluster.operator()
    }

    /// The names of the users in [`Node::amqp_url`] and [`Node::vendor_url`].
    pub fn users() -> (&'static str, &'static str) {
        Cluster::users()
    }

    pub fn control(&self) -> Option<Control> {
        self.cluster.controls().pop()
    }

    /// Kills the node as a power cut would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill9(&mut self) -> Result<(), NodeError> {
        self.cluster.kill9(0).await
    }

    /// Starts the node again with its data on the same ports; stops it first if it runs.
    ///
    /// # Errors
    /// As [`Node::start_temporary`].
    pub async fn restart(&mut self) -> Result<(), NodeError> {
        self.cluster.restart(0).await
    }

    /// Ends the node and removes its directory.
    ///
    /// # Errors
    /// When the node cannot be ended; the guardian still ends it when our process ends.
    pub async fn stop(self) -> Result<(), NodeError> {
        self.cluster.stop().await
    }
}

/// Whether a node is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// The node does nothing until it is unfrozen.
    Yes,
    No,
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> NodeError {
    move |cause| NodeError::Io { what, cause }
}
