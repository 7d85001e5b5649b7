//! Makes the settings of links and consumers from the configuration.

use std::time::Duration;

use secrecy::SecretString;

use crate::broker::{Application, ConsumerSettings, LinkSettings};
use crate::config::BrokerConfig;

const APPLICATION: Application = Application { name: "nidbridge", version: env!("CARGO_PKG_VERSION") };

/// A link to our own vhost. Each link of a process needs its own `name`.
pub fn bridge_link(name: &'static str, broker: &BrokerConfig) -> LinkSettings {
    link(name, broker.url.clone(), broker)
}

/// A link to the vendor's vhost.
pub fn national_id_link(name: &'static str, broker: &BrokerConfig) -> LinkSettings {
    link(name, broker.nid_url.clone(), broker)
}

/// The consumer of a stage that handles `prefetch` messages at once.
pub fn consumer(broker: &BrokerConfig, prefetch: u16) -> ConsumerSettings {
    ConsumerSettings {
        prefetch,
        drain: broker.drain,
        handling: broker.handling,
        reopen_max: broker.reconnect_max.max(Duration::from_millis(100)),
        ..ConsumerSettings::default()
    }
}

fn link(name: &'static str, url: SecretString, broker: &BrokerConfig) -> LinkSettings {
    LinkSettings {
        application: APPLICATION,
        heartbeat: broker.heartbeat,
        publish_timeout: broker.publish_timeout,
        channels: broker.channels,
        reconnect_max: broker.reconnect_max,
        apply_topology: broker.apply_topology,
        ..LinkSettings::new(name, url)
    }
}
