//! A private RabbitMQ broker in a directory of its own: for the demo, the sandbox and the tests.
//!
//! It uses the system's package and nothing else of the system's: own ports on the loopback
//! interface, own cookie, own port mapper, own data. The system's node, if there is one, is not
//! touched. With `NIDBRIDGE_RABBITMQ` set it uses another system's package (see `installation`).
//! [`Cluster`] is one or more nodes; [`Node`] is a cluster of one.
//!
//! Invariant: nothing is left running when we end, however we end (see [`guardian`](super::guardian)).

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
/// How often something that is awaited is looked at.
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

/// A cluster of one node, in a directory that is removed when we end.
#[derive(Debug)]
pub struct Node {
    cluster: Cluster,
}

impl Node {
    /// Starts a node, and waits until it can be used. The directory is made.
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

    /// The URL of a vhost through another port, such as a proxy's.
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

    /// The users that [`Node::amqp_url`] and [`Node::vendor_url`] name.
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

    /// Starts it again with its data, on the same ports; stops it first if it runs.
    ///
    /// # Errors
    /// As [`Node::start_temporary`].
    pub async fn restart(&mut self) -> Result<(), NodeError> {
        self.cluster.restart(0).await
    }

    /// Ends it and removes its directory.
    ///
    /// # Errors
    /// When it cannot be ended; the guardian still ends it when we end.
    pub async fn stop(self) -> Result<(), NodeError> {
        self.cluster.stop().await
    }
}

/// Whether a node is to be frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// It does nothing until it is let continue.
    Yes,
    No,
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> NodeError {
    move |cause| NodeError::Io { what, cause }
}
