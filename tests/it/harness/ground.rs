//! The ground a story stands on: a pair of vhosts on the shared node, ours and the vendor's.

use nidbridge::pipeline::TopologySettings;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nidbridge::broker::{Link, LinkSettings, QueueLimits, Topology};
use nidbridge::sandbox::rabbitmq::Node;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::http::Api;

/// One node for the whole process; its guardian ends it.
static NODE: OnceCell<Node> = OnceCell::const_new();

/// A directory for something that cleans up behind itself.
pub fn temporary(what: &str) -> PathBuf {
    std::env::temp_dir().join(format!("nidbridge-{what}-{}", Uuid::new_v4().simple()))
}

async fn node() -> &'static Node {
    NODE.get_or_init(async || {
        Node::start_temporary(&temporary("rabbitmq"), &[]).await.unwrap_or_else(|cause| panic!("{cause}"))
    })
    .await
}

/// A pair of vhosts, deleted with this value.
pub struct Ground {
    /// Our vhost.
    pub vhost: String,
    /// The vendor's vhost.
    pub nid_vhost: String,
    /// The topology's settings, with short delays.
    pub settings: TopologySettings,
    node: &'static Node,
    api: Api,
}

impl Ground {
    /// Makes the vhosts.
    pub async fn fresh() -> Self {
        let node = node().await;
        let (user, password) = node.operator();
        let api = Api {
            port: node.management_port(),
            user: user.to_owned(),
            password: password.expose_secret().to_owned(),
        };
        let name = Uuid::new_v4().simple().to_string();
        let ground = Self {
            vhost: format!("bridge-{name}"),
            nid_vhost: format!("nid-{name}"),
            settings: quick(),
            node,
            api,
        };
        let api = ground.api.clone();
        let (vhost, nid_vhost) = (ground.vhost.clone(), ground.nid_vhost.clone());
        tokio::task::spawn_blocking(move || furnish(&api, &vhost, &nid_vhost)).await.expect("the vhosts");
        ground
    }

    /// Loses everything in both vhosts, and who may do what there with it; then makes them anew.
    pub async fn lose(&self) {
        let (api, vhost, nid_vhost) = (self.api.clone(), self.vhost.clone(), self.nid_vhost.clone());
        let lost = tokio::task::spawn_blocking(move || {
            for vhost in [&vhost, &nid_vhost] {
                api.must("DELETE", &format!("/vhosts/{vhost}"), "");
            }
            furnish(&api, &vhost, &nid_vhost);
        });
        lost.await.expect("new vhosts");
    }

    /// Empties a queue of our vhost and the delay queues beside it.
    pub async fn purge(&self, queue: &str) {
        let (api, vhost, queue) = (self.api.clone(), self.vhost.clone(), queue.to_owned());
        let purged = tokio::task::spawn_blocking(move || {
            let all: serde_json::Value =
                serde_json::from_str(&api.must("GET", &format!("/queues/{vhost}?columns=name"), "")).unwrap();
            let names = all.as_array().unwrap().iter().filter_map(|queue| queue["name"].as_str());
            let ours = |name: &&str| *name == queue || name.starts_with(&format!("{queue}.wait."));
            for name in names.filter(ours) {
                api.must("DELETE", &format!("/queues/{vhost}/{name}/contents"), "");
            }
        });
        purged.await.expect("empty queues");
    }

    /// The settings of a link to our vhost.
    pub fn link_settings(&self, name: &'static str) -> LinkSettings {
        patient(LinkSettings::new(name, self.node.amqp_url(&self.vhost)))
    }

    /// The settings of a link to our vhost through a proxy.
    pub fn link_settings_by(&self, name: &'static str, port: u16) -> LinkSettings {
        patient(LinkSettings::new(name, self.node.amqp_url_by(port, &self.vhost)))
    }

    /// The settings of a link to the vendor's vhost.
    pub fn nid_link_settings(&self, name: &'static str) -> LinkSettings {
        patient(LinkSettings::new(name, self.node.amqp_url(&self.nid_vhost)))
    }

    /// The vendor's own URL.
    pub fn vendor_url(&self) -> SecretString {
        self.node.vendor_url(&self.nid_vhost)
    }

    /// A connected link to our vhost with this topology.
    pub async fn link(&self, topology: Topology) -> Link {
        connected(Link::open(&self.link_settings("test"), topology, Arc::new(nidbridge::broker::Unobserved)))
            .await
    }

    /// The port of the node, for a proxy.
    pub fn amqp_port(&self) -> u16 {
        self.node.amqp_port()
    }

    /// Evaluates a term of Erlang on the node.
    pub async fn eval(&self, term: &str) {
        let mut command = self.node.control().command();
        command.args(["eval", term]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread");
        let output = output.expect("rabbitmqctl");
        assert!(output.status.success(), "{term}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The management API.
    pub fn api(&self) -> &Api {
        &self.api
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for vhost in [&self.vhost, &self.nid_vhost] {
            drop(self.api.call("DELETE", &format!("/vhosts/{vhost}"), ""));
        }
    }
}

/// Waits until a link is connected.
pub async fn connected(link: Link) -> Link {
    assert!(link.connected(Duration::from_secs(30)).await, "not connected: {:?}", *link.state().borrow());
    link
}

/// Delays that a test can wait for.
pub fn quick() -> TopologySettings {
    TopologySettings {
        retry_steps: vec![Duration::from_millis(100), Duration::from_millis(400)],
        confirm_after: Duration::from_millis(200),
        waits: Vec::new(),
        limits: QueueLimits { max_length: 100_000, delivery_limit: 50 },
    }
}

/// On a busy machine a confirm takes its time; a lost connection is to be found soon all the same.
fn patient(settings: LinkSettings) -> LinkSettings {
    LinkSettings {
        publish_timeout: Duration::from_secs(10),
        reconnect_max: Duration::from_millis(500),
        ..settings
    }
}

fn furnish(api: &Api, vhost: &str, nid_vhost: &str) {
    let (bridge, vendor) = Node::users();
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    for name in [vhost, nid_vhost] {
        api.must("PUT", &format!("/vhosts/{name}"), "{}");
        api.must("PUT", &format!("/permissions/{name}/{bridge}"), all);
    }
    let least = r#"{"configure":"^$","write":"^nid\\.replies$","read":"^nid\\.requests\\.(birth|death)$"}"#;
    api.must("PUT", &format!("/permissions/{nid_vhost}/{vendor}"), least);
    let topic = r#"{"exchange":"nid.replies","write":"^reply\\.","read":"^$"}"#;
    api.must("PUT", &format!("/topic-permissions/{nid_vhost}/{vendor}"), topic);
}
