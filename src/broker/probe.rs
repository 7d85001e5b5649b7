//! Connects once, to tell a broker that is away from a broker that refuses the connection. For
//! commands that must end instead of waiting.
//!
//! Invariant: no result contains a password.

use std::time::Duration;

use lapin::types::{LongString, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

use super::error::{BrokerError, chain};
use super::link::LinkSettings;

const CLOSING: Duration = Duration::from_secs(2);

/// The result of an attempt to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// The broker accepted the connection.
    Yes,
    /// The broker refused the connection, and will refuse it until somebody changes something.
    Refused(String),
    /// The broker cannot be reached at the moment.
    Away(String),
}

impl LinkSettings {
    /// The vhost of the URL. `None` if the URL cannot be parsed.
    pub fn vhost(&self) -> Option<String> {
        self.uris().into_iter().next().map(|uri| uri.vhost)
    }

    /// Connects to the first host that accepts, and closes the connection again.
    pub async fn reach(&self) -> Reached {
        let mut reached = Reached::Refused(BrokerError::Url.to_string());
        for uri in self.uris() {
            reached = self.reach_host(uri).await;
            if reached == Reached::Yes {
                break;
            }
        }
        reached
    }

    async fn reach_host(&self, uri: AMQPUri) -> Reached {
        super::link::install_crypto();
        let (user, vhost) = (uri.authority.userinfo.username.clone(), uri.vhost.clone());
        let name = format!("{} {} probe", self.application.name, self.name);
        let properties = ConnectionProperties::default().with_connection_name(LongString::from(name));
        let patience = self.heartbeat.max(Duration::from_secs(2));
        match tokio::time::timeout(patience, Connection::connect_uri(uri, properties)).await {
            Ok(Ok(connection)) => {
                // The connection was accepted, whether or not the broker answers to its close.
                drop(tokio::time::timeout(CLOSING, connection.close(200, ShortString::default())).await);
                Reached::Yes
            }
            Ok(Err(cause)) => {
                let cause = BrokerError::of_login(cause, &user, &vhost);
                let why = chain(&cause);
                if cause.is_refusal() { Reached::Refused(why) } else { Reached::Away(why) }
            }
            Err(_) => Reached::Away(BrokerError::Slow(patience).to_string()),
        }
    }
}
