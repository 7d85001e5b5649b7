//! The settings of the bridge in the demo.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;

use crate::config::{self, Config, Part, Sources};
use crate::pipeline::names;
use crate::sandbox::opencrvs::{Generations, OpencrvsSim, Release};
use crate::sandbox::rabbitmq::Cluster;

/// A file with the settings of the demo that a shell can source.
pub(super) const ENVIRONMENT: &str = "environment";

/// What the settings depend on.
pub(super) struct Surroundings<'a> {
    pub(super) node: &'a Cluster,
    pub(super) opencrvs: &'a OpencrvsSim,
    pub(super) generations: Generations,
    /// The value of `FRONT_WAIT`.
    pub(super) wait: &'a str,
    /// The directory of the demo.
    pub(super) dir: &'a Path,
}

impl Surroundings<'_> {
    /// Whether OpenCRVS has records that only a system client answers.
    pub(super) fn needs_client(&self) -> bool {
        self.generations.has_events() && self.generations.release() == Release::V2_1
    }

    pub(super) fn configuration(&self) -> anyhow::Result<Config> {
        std::fs::create_dir_all(self.dir.join("spool"))?;
        let mut environment = self.common()?;
        if self.generations.has_events() {
            environment.extend(self.events());
        }
        if self.needs_client() {
            environment.extend(self.client());
        }
        let environment: BTreeMap<String, String> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        // For operators who try out commands during the demo. The keys are worthless after it.
        let exports: String =
            environment.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
        std::fs::write(self.dir.join(ENVIRONMENT), exports)?;
        let loaded = config::load(&Sources { file: None, environment }, Part::All)?;
        Ok(loaded.config)
    }

    fn common(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let (node, opencrvs) = (self.node, self.opencrvs);
        let mut key = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| anyhow::anyhow!("this machine has no randomness"))?;
        Ok(vec![
            ("AMQP_URL", node.amqp_url(names::BRIDGE_VHOST).expose_secret().to_owned()),
            ("NID_AMQP_URL", node.amqp_url(names::NID_VHOST).expose_secret().to_owned()),
            ("LEDGER_URL", format!("sqlite:{}", self.dir.join("ledger.db").display())),
            ("SEAL_KEYS", format!("demo:{}", STANDARD.encode(key))),
            ("AUTH_URL", opencrvs.auth_url()),
            ("GATEWAY_URL", opencrvs.gateway_url()),
            ("FRONT_LISTEN", "127.0.0.1:0".to_owned()),
            ("ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("FRONT_WAIT", self.wait.to_owned()),
        ])
    }

    fn events(&self) -> [(&'static str, String); 4] {
        [
            ("FRONT_EVENTS", "true".to_owned()),
            ("FRONT_SPOOL", self.dir.join("spool").display().to_string()),
            ("COUNTRY_CONFIG_URL", self.opencrvs.country_config_url()),
            ("CONFIRM_IDENTIFIER_FIELD", "child.nid".to_owned()),
        ]
    }

    /// The front registers the client when OpenCRVS says that it is ready.
    fn client(&self) -> [(&'static str, String); 5] {
        let random = || uuid::Uuid::new_v4().to_string();
        [
            ("OPENCRVS_CLIENT_ID", random()),
            ("OPENCRVS_CLIENT_SECRET", random()),
            ("OPENCRVS_REGISTER_CLIENT", "true".to_owned()),
            ("OPENCRVS_EVENTS_URL", self.opencrvs.events_url()),
            ("OPENCRVS_SERVICE_USER", self.opencrvs.service_subject()),
        ]
    }
}
