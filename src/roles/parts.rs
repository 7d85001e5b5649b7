//! Makes the parts that more than one process needs, each from its section of the configuration.
//!
//! Invariant: the same settings give the same part in every process.

mod alert;
mod broker;
mod ledger;
mod numbers;
mod opencrvs;

pub(crate) use alert::{alerts, parking_watcher, process_alerts};
pub(crate) use broker::{
    BRIDGE_URL, BrokerEndpoint, NID_URL, broker_endpoints, longest_delay, member_link, nid_link,
    parking_queues, topologies, topology_settings,
};
pub(crate) use ledger::{ledger, operators_ledger, sealer};
pub(crate) use numbers::number_rules;
pub(crate) use opencrvs::{
    auth, auth_clock, client_credentials, client_settings, gateway_clock, has_client, mapped_fields, reading,
    source_check, system_client, unheard_search,
};
