//! The network between the roles and their dependencies, and other connections to the broker.

use std::sync::Arc;
use std::time::Duration;

use nidbridge::broker::{Link, LinkSettings, Topology, Unobserved};
use nidbridge::sandbox::nid::VendorSettings;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::super::ChaosProxy;
use super::super::vhosts::connected;
use super::World;

impl World {
    /// Puts a proxy between the broker and every role that is started from now on.
    pub async fn proxy_to_broker(&mut self) -> ChaosProxy {
        let proxy = ChaosProxy::before(self.vhosts.amqp_port()).await;
        let settings = self.vhosts.link_settings_by("proxy", proxy.port());
        self.set("AMQP_URL", settings.url.expose_secret());
        proxy
    }

    /// Puts a proxy between the broker and one role, from its next start on.
    pub async fn proxy_before_broker(&mut self, role: &'static str) -> ChaosProxy {
        let proxy = ChaosProxy::before(self.vhosts.amqp_port()).await;
        let url = self.vhosts.link_settings_by("x", proxy.port()).url;
        self.set_for(role, "AMQP_URL", url.expose_secret());
        proxy
    }

    /// Puts a proxy between the gateway and every role that is started from now on.
    pub async fn proxy_to_gateway(&mut self) -> ChaosProxy {
        let proxy = ChaosProxy::before(port_of(&self.opencrvs.gateway_url())).await;
        self.set("GATEWAY_URL", &format!("http://127.0.0.1:{}", proxy.port()));
        proxy
    }

    /// Puts a proxy between auth and one role, from its next start on.
    pub async fn proxy_to_auth(&mut self, role: &'static str) -> ChaosProxy {
        let proxy = ChaosProxy::before(port_of(&self.opencrvs.auth_url())).await;
        self.set_for(role, "AUTH_URL", &format!("http://127.0.0.1:{}", proxy.port()));
        proxy
    }

    /// Puts a proxy between the ledger (PostgreSQL) and every role that is started from now on.
    pub async fn proxy_to_ledger(&mut self) -> ChaosProxy {
        let mut url = Url::parse(self.ledger_url()).expect("a URL");
        let proxy = ChaosProxy::before(url.port().expect("a port")).await;
        url.set_port(Some(proxy.port())).expect("a URL with a port");
        self.set("LEDGER_URL", url.as_str());
        proxy
    }

    /// Loses everything that the broker stores: both vhosts are deleted and created again.
    pub async fn lose_broker(&self) {
        self.vhosts.lose().await;
    }

    /// Empties a queue of our vhost and its delay queues.
    pub async fn purge(&self, queue: &str) {
        self.vhosts.purge(queue).await;
    }

    /// Ends the vendor. Requests that it has not acknowledged return to their queues.
    pub async fn vendor_leaves(&mut self) {
        self.nid.kill().await;
        self.vendor.clone().close().await;
    }

    /// Starts the vendor again.
    pub fn vendor_returns(&mut self) {
        let settings = vendor_settings(self.vhosts.vendor_url());
        let nothing = Topology::empty(&self.vhosts.vendor);
        self.vendor = Link::open(&settings, nothing, Arc::new(Unobserved));
        self.nid.restart(&self.vendor);
    }

    /// Connects with the rights of the vendor, and allows larger messages than our own links do.
    pub async fn vendor_link(&self) -> Link {
        let settings = LinkSettings {
            apply_topology: false,
            max_message: 16 * 1024 * 1024,
            publish_timeout: Duration::from_secs(20),
            ..LinkSettings::new("another vendor", self.vhosts.vendor_url())
        };
        let nothing = Topology::empty(&self.vhosts.vendor);
        connected(Link::open(&settings, nothing, Arc::new(Unobserved))).await
    }

    /// Connects to our vhost, to inspect queues.
    pub async fn look(&self) -> Link {
        let nothing = Topology::empty(&self.vhosts.bridge);
        connected(Link::open(&self.vhosts.link_settings("look"), nothing, Arc::new(Unobserved))).await
    }

    /// Connects to the vendor's vhost, to inspect queues.
    pub async fn look_nid(&self) -> Link {
        let nothing = Topology::empty(&self.vhosts.vendor);
        connected(Link::open(&self.vhosts.nid_link_settings("look"), nothing, Arc::new(Unobserved))).await
    }
}

fn port_of(url: &str) -> u16 {
    Url::parse(url).expect("a URL").port().expect("a port")
}

/// Settings of the vendor's link. The publish timeout is long, so that a slow confirm does not make
/// the vendor reply twice.
pub(super) fn vendor_settings(url: SecretString) -> LinkSettings {
    LinkSettings {
        apply_topology: false,
        publish_timeout: Duration::from_secs(20),
        ..LinkSettings::new("vendor", url)
    }
}

pub(super) fn quick_vendor() -> VendorSettings {
    VendorSettings { latency_ms: (5, 50), ..VendorSettings::default() }
}
