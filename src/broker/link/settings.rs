//! How a link reaches the broker.
//!
//! Invariant: the URL, which may hold a password, is in no message.

use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

/// The program that uses this engine: part of each connection's name, of AMQP `app_id` and of the
/// headers of parked messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Application {
    pub name: &'static str,
    pub version: &'static str,
}

impl Default for Application {
    fn default() -> Self {
        Self { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") }
    }
}

/// How to reach the broker, and how patiently.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    pub application: Application,
    /// Names the connections on the broker and the link in metrics. Each link of a process needs a
    /// name of its own.
    pub name: &'static str,
    /// `amqp://` or `amqps://`, with user, password and vhost.
    pub url: SecretString,
    /// Heartbeat interval. A broker that is silent for twice as long is away.
    pub heartbeat: Duration,
    /// Time limit of one publish, from waiting for a channel to the broker's confirm.
    pub publish_timeout: Duration,
    /// Number of messages that can be published at the same time: each takes a channel.
    pub channels: u16,
    /// The longest pause between two attempts to connect.
    pub reconnect_max: Duration,
    /// Whether connecting declares the topology. Otherwise it is compared, and a difference keeps
    /// the link away.
    pub apply_topology: bool,
    /// Bytes of the largest body that is published.
    pub max_message: usize,
}

impl LinkSettings {
    /// Defaults for everything but name and URL.
    pub fn new(name: &'static str, url: SecretString) -> Self {
        Self {
            application: Application::default(),
            name,
            url,
            heartbeat: Duration::from_secs(10),
            publish_timeout: Duration::from_secs(1),
            channels: 64,
            reconnect_max: Duration::from_secs(5),
            apply_topology: true,
            max_message: 8 * 1024 * 1024,
        }
    }

    /// `None` if the URL cannot be parsed.
    pub(in crate::broker) fn uri(&self) -> Option<AMQPUri> {
        let mut uri: AMQPUri = self.url.expose_secret().parse().ok()?;
        uri.query.heartbeat = Some(u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX));
        Some(uri)
    }
}
