//! What of the configuration each part of the broker needs.

use std::time::Duration;

use secrecy::SecretString;

use super::consumer::ConsumerSettings;
use super::link::LinkSettings;
use super::topology::TopologySettings;
use crate::config::{BrokerConfig, ConfirmConfig, Waits};

impl TopologySettings {
    /// As configured.
    pub fn new(broker: &BrokerConfig, confirm: &ConfirmConfig, waits: &Waits) -> Self {
        Self {
            retry_steps: broker.retry_steps.clone(),
            confirm_after: broker.publish_timeout.saturating_add(confirm.delay),
            waits: waits.lengths().collect(),
            max_length: broker.max_length,
            delivery_limit: broker.delivery_limit,
        }
    }
}

impl LinkSettings {
    /// A link to our own vhost, as configured.
    pub fn bridge(name: &'static str, broker: &BrokerConfig) -> Self {
        Self::configured(name, broker.url.clone(), broker)
    }

    /// A link to the vendor's vhost, as configured.
    pub fn national_id(name: &'static str, broker: &BrokerConfig) -> Self {
        Self::configured(name, broker.nid_url.clone(), broker)
    }

    fn configured(name: &'static str, url: SecretString, broker: &BrokerConfig) -> Self {
        Self {
            heartbeat: broker.heartbeat,
            publish_timeout: broker.publish_timeout,
            channels: broker.channels,
            reconnect_max: broker.reconnect_max,
            apply_topology: broker.apply_topology,
            ..Self::new(name, url)
        }
    }
}

impl ConsumerSettings {
    /// As configured, for a stage that handles so many messages at once.
    pub fn new(broker: &BrokerConfig, prefetch: u16) -> Self {
        Self {
            prefetch,
            drain: broker.drain,
            handling: broker.handling,
            reopen_max: broker.reconnect_max.max(Duration::from_millis(100)),
            ..Self::default()
        }
    }
}
