//! How a link reaches the broker.
//!
//! Invariant: the URL, which may hold a password, is in no log and no error text.

use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

/// The program that uses this engine. Its name is in each connection's name and in AMQP `app_id`,
/// its version is in the headers of parked messages.
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

/// How to reach the broker, and the time limits.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    pub application: Application,
    /// The name of the connections on the broker and of the link in metrics. Each link of a process
    /// needs its own name.
    pub name: &'static str,
    /// `amqp://` or `amqps://`, with user, password and vhost. Several hosts are separated by
    /// commas.
    pub url: SecretString,
    /// Heartbeat interval. A broker that is silent for twice this time counts as away.
    pub heartbeat: Duration,
    /// Time limit of one publish, from waiting for a channel to the broker's confirm.
    pub publish_timeout: Duration,
    /// Number of messages that can be published at the same time: each takes a channel.
    pub channels: u16,
    /// The longest pause between two attempts to connect.
    pub reconnect_max: Duration,
    /// Whether the link declares the topology when it connects. Otherwise the link compares the
    /// broker with the topology, and stays away while they differ.
    pub apply_topology: bool,
    /// The largest body that is published, in bytes.
    pub max_message: usize,
}

impl LinkSettings {
    /// Default settings for everything except name and URL.
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

    /// The URL of each host with the heartbeat interval. Empty if the URL cannot be parsed.
    pub(in crate::broker) fn uris(&self) -> Vec<AMQPUri> {
        let heartbeat = Some(u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX));
        let parse = |url: String| {
            let mut uri: AMQPUri = url.parse().ok()?;
            uri.query.heartbeat = heartbeat;
            Some(uri)
        };
        each_host(self.url.expose_secret()).into_iter().map(parse).collect::<Option<_>>().unwrap_or_default()
    }
}

/// The same URL for each of its hosts. A comma in a user or a password stands before the last `@`.
fn each_host(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let hosts_at = authority.rfind('@').map_or(0, |at| at + 1);
    let (who, hosts) = authority.split_at(hosts_at);
    hosts.split(',').map(|host| format!("{scheme}://{who}{}{tail}", host.trim())).collect()
}
