//! A pair of vhosts on the shared RabbitMQ node: ours and the vendor's. Each test has its own pair.

use nidbridge::pipeline::{Role, TopologySettings, Users, names, topology};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nidbridge::broker::{Link, LinkSettings, QueueLimits, Topology, User};
use nidbridge::sandbox::rabbitmq::Cluster;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::http::Api;

/// All permissions of a user in a vhost.
const ALL: &str = r#"{"configure":".*","write":".*","read":".*"}"#;

/// One node for the whole test process. Its guardian ends it.
static NODE: OnceCell<Cluster> = OnceCell::const_new();

/// A new path for a temporary directory. The caller makes the directory and removes it.
pub fn temporary(what: &str) -> PathBuf {
    std::env::temp_dir().join(format!("nidbridge-{what}-{}", Uuid::new_v4().simple()))
}

async fn node() -> &'static Cluster {
    NODE.get_or_init(async || {
        Cluster::start_temporary(&temporary("rabbitmq"), &[]).await.unwrap_or_else(|cause| panic!("{cause}"))
    })
    .await
}

/// Our vhost and the vendor's. Both are deleted some time after this value is dropped.
pub struct Vhosts {
    pub bridge: String,
    pub vendor: String,
    /// Settings of the topology, with short delays.
    pub settings: TopologySettings,
    node: &'static Cluster,
    api: Api,
}

impl Vhosts {
    /// Makes a new pair.
    pub async fn fresh() -> Self {
        let node = node().await;
        let (user, password) = node.operator();
        let api = Api {
            port: node.management_ports()[0],
            user: user.to_owned(),
            password: password.expose_secret().to_owned(),
        };
        let name = Uuid::new_v4().simple().to_string();
        let vhosts = Self {
            bridge: format!("bridge-{name}"),
            vendor: format!("nid-{name}"),
            settings: quick(),
            node,
            api,
        };
        let api = vhosts.api.clone();
        let (bridge, vendor) = (vhosts.bridge.clone(), vhosts.vendor.clone());
        tokio::task::spawn_blocking(move || create(&api, &bridge, &vendor)).await.expect("the vhosts");
        vhosts
    }

    /// Deletes both vhosts with their queues, messages and permissions, and creates them again.
    pub async fn lose(&self) {
        let (api, bridge, vendor) = (self.api.clone(), self.bridge.clone(), self.vendor.clone());
        let lost = tokio::task::spawn_blocking(move || {
            for vhost in [&bridge, &vendor] {
                api.must("DELETE", &format!("/vhosts/{vhost}"), "");
            }
            create(&api, &bridge, &vendor);
        });
        lost.await.expect("new vhosts");
    }

    /// Takes away the bridge's permission for its vhost. Open connections stay.
    pub async fn forbid(&self) {
        let (api, path) = (self.api.clone(), self.permissions());
        let done = tokio::task::spawn_blocking(move || api.must("DELETE", &path, ""));
        done.await.expect("no permission");
    }

    /// Gives the permission back.
    pub async fn permit(&self) {
        let (api, path) = (self.api.clone(), self.permissions());
        let done = tokio::task::spawn_blocking(move || api.must("PUT", &path, ALL));
        done.await.expect("the permission");
    }

    fn permissions(&self) -> String {
        format!("/permissions/{}/{}", self.bridge, Cluster::users().0)
    }

    /// Empties a queue of our vhost and its delay queues.
    pub async fn purge(&self, queue: &str) {
        let (api, vhost, queue) = (self.api.clone(), self.bridge.clone(), queue.to_owned());
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

    pub fn link_settings(&self, name: &'static str) -> LinkSettings {
        patient(LinkSettings::new(name, self.node.amqp_url(&self.bridge)))
    }

    /// As [`Vhosts::link_settings`], through a proxy on this port.
    pub fn link_settings_by(&self, name: &'static str, port: u16) -> LinkSettings {
        patient(LinkSettings::new(name, self.node.amqp_url_by(port, &self.bridge)))
    }

    pub fn nid_link_settings(&self, name: &'static str) -> LinkSettings {
        patient(LinkSettings::new(name, self.node.amqp_url(&self.vendor)))
    }

    /// The URL that the vendor connects with.
    pub fn vendor_url(&self) -> SecretString {
        self.node.vendor_url(&self.vendor)
    }

    /// Gives the users of the roles the permissions that `nidbridge topology print --role-users`
    /// prints.
    pub async fn permit_roles(&self) {
        let topologies = [
            topology::bridge(&self.settings, &[names::AMQP_SYSTEM]).in_vhost(&self.bridge),
            topology::national_id(&self.settings).in_vhost(&self.vendor),
        ];
        let (bridge, vendor) = Cluster::users();
        let users = Users {
            bridge: User::existing(bridge),
            vendor: User::existing(vendor),
            roles: Role::ALL.map(|role| (role, User::existing(Cluster::user_of(role)))).into(),
            administrator: None,
        };
        let made = users.definitions(&topologies).expect("definitions");
        let api = self.api.clone();
        let permitted = tokio::task::spawn_blocking(move || {
            for rule in made["permissions"].as_array().expect("permissions") {
                let [user, vhost] = ["user", "vhost"].map(|name| rule[name].as_str().expect("a name"));
                if user.starts_with(&format!("{bridge}-")) {
                    api.must("PUT", &format!("/permissions/{vhost}/{user}"), &rule.to_string());
                }
            }
        });
        permitted.await.expect("permissions");
    }

    /// The URL of one of our two vhosts, for a role with its own permissions.
    pub fn role_url(&self, role: Role, vhost: &str) -> SecretString {
        self.node.role_url(role, vhost)
    }

    /// Connects to our vhost and declares this topology.
    pub async fn link(&self, topology: Topology) -> Link {
        connected(Link::open(&self.link_settings("test"), topology, Arc::new(nidbridge::broker::Unobserved)))
            .await
    }

    /// Copies the broker's log, in which a connection of either vhost names this pair.
    pub fn copy_log(&self, to: &Path) -> std::io::Result<u64> {
        std::fs::copy(&self.node.logs()[0], to)
    }

    pub fn amqp_port(&self) -> u16 {
        self.node.amqp_ports()[0]
    }

    /// Evaluates an Erlang expression on the node.
    pub async fn eval(&self, term: &str) {
        let mut command = self.node.controls()[0].command();
        command.args(["eval", term]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread");
        let output = output.expect("rabbitmqctl");
        assert!(output.status.success(), "{term}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn api(&self) -> &Api {
        &self.api
    }
}

/// How long the vhosts of a test that has ended stay.
///
/// RabbitMQ 3.10 starts a dead-letter worker for each new quorum queue. If the queue is deleted at
/// that moment, the worker fails; if two fail within 5 s, their supervisor ends for good, and with
/// it every other quorum queue of the node that dead-letters at least once: connections then end
/// with 541 and publishes are refused.
const KEPT: Duration = Duration::from_secs(10);

impl Drop for Vhosts {
    fn drop(&mut self) {
        let (api, names) = (self.api.clone(), [self.bridge.clone(), self.vendor.clone()]);
        // If the process ends sooner, the node and its data go with it.
        std::thread::spawn(move || {
            std::thread::park_timeout(KEPT);
            for vhost in names {
                drop(api.call("DELETE", &format!("/vhosts/{vhost}"), ""));
            }
        });
    }
}

pub async fn connected(link: Link) -> Link {
    assert!(link.connected(Duration::from_secs(30)).await, "not connected: {:?}", *link.state().borrow());
    link
}

/// Topology settings with delays that are short enough for a test.
pub fn quick() -> TopologySettings {
    TopologySettings {
        retry_steps: vec![Duration::from_millis(100), Duration::from_millis(400)],
        confirm_after: Duration::from_millis(200),
        waits: Vec::new(),
        limits: QueueLimits { max_length: 100_000, delivery_limit: 50 },
    }
}

/// Sets a long publish timeout, because confirms are slow on a busy machine, and a short pause
/// before a reconnect.
fn patient(settings: LinkSettings) -> LinkSettings {
    LinkSettings {
        publish_timeout: Duration::from_secs(10),
        reconnect_max: Duration::from_millis(500),
        ..settings
    }
}

/// Makes both vhosts, with the permissions of the bridge and of the vendor.
fn create(api: &Api, bridge: &str, vendor: &str) {
    let (bridge_user, vendor_user) = Cluster::users();
    for name in [bridge, vendor] {
        api.must("PUT", &format!("/vhosts/{name}"), "{}");
        api.must("PUT", &format!("/permissions/{name}/{bridge_user}"), ALL);
    }
    let least = r#"{"configure":"^$","write":"^nid\\.replies$","read":"^nid\\.requests\\.(birth|death)$"}"#;
    api.must("PUT", &format!("/permissions/{vendor}/{vendor_user}"), least);
    let topic = r#"{"exchange":"nid.replies","write":"^reply\\.","read":"^$"}"#;
    api.must("PUT", &format!("/topic-permissions/{vendor}/{vendor_user}"), topic);
}
