//! The whole bridge with both of its sides: real processes, real sockets, a private broker and a
//! private database.
//!
//! The processes run the product's own binary, so that a test can end one of them with `kill -9`.

mod network;
mod observe;
mod roles;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nidbridge::broker::{Link, Topology, Unobserved};
use nidbridge::ledger::Ledger;
use nidbridge::sandbox::nid::NidSim;
use nidbridge::sandbox::opencrvs::{OpencrvsSettings, OpencrvsSim};
use secrecy::ExposeSecret as _;
use url::Url;

use self::network::{quick_vendor, vendor_settings};
pub use self::observe::request_of;
use super::Vhosts;
use super::child::ChildProcess;
use super::ledgers::{Engine, SEAL_KEYS, fresh_url, ledger};
use super::ports::free_port;
use super::vhosts::temporary;

/// The longest time that a test waits for a condition.
pub const SOON: Duration = Duration::from_secs(60);

const ROLES: [&str; 3] = ["front", "worker", "confirmer"];

/// Both sides, and the bridge between them.
pub struct World {
    pub opencrvs: OpencrvsSim,
    pub nid: NidSim,
    pub ledger: Ledger,
    pub front: Url,
    /// The port of each role's admin listener.
    pub admin: BTreeMap<&'static str, u16>,
    /// Directory with the logs of the roles. It is removed unless the test fails.
    pub dir: PathBuf,
    vhosts: Vhosts,
    vendor: Link,
    roles: BTreeMap<&'static str, ChildProcess>,
    /// Settings of every role.
    environment: BTreeMap<String, String>,
    /// Settings of one role, which override those of every role.
    role_settings: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// The command, such as `unshare`, under which a role is started.
    wrappers: BTreeMap<&'static str, Vec<String>>,
}

impl World {
    /// Starts all roles with short delays and a well-behaved ID system, and waits until they are
    /// ready.
    pub async fn new(engine: Engine) -> Self {
        Self::with(engine, &[]).await
    }

    /// As [`World::new`], with these settings of the roles.
    pub async fn with(engine: Engine, settings: &[(&str, &str)]) -> Self {
        Self::beside(OpencrvsSettings::default(), engine, settings).await
    }

    /// As [`World::with`], with the read before *send* that is the default of the product.
    pub async fn checked(engine: Engine, settings: &[(&str, &str)]) -> Self {
        let checked: Vec<_> = [("SEND_CHECK", "true")].into_iter().chain(settings.iter().copied()).collect();
        Self::with(engine, &checked).await
    }

    /// As [`World::with`], with these settings of OpenCRVS.
    pub async fn beside(opencrvs: OpencrvsSettings, engine: Engine, settings: &[(&str, &str)]) -> Self {
        let mut world = Self::of(opencrvs, engine, settings).await;
        for role in ROLES {
            world.start(role);
        }
        for role in ROLES {
            world.ready(role).await;
        }
        world
    }

    /// Starts only the front, so that what it accepts stays in its queue.
    pub async fn with_front(settings: &[(&str, &str)]) -> Self {
        let mut world = Self::empty(Engine::Sqlite, settings).await;
        world.start("front");
        world.ready("front").await;
        world
    }

    /// Starts both sides and no role.
    pub async fn empty(engine: Engine, settings: &[(&str, &str)]) -> Self {
        Self::of(OpencrvsSettings::default(), engine, settings).await
    }

    pub async fn of(opencrvs: OpencrvsSettings, engine: Engine, settings: &[(&str, &str)]) -> Self {
        let vhosts = Vhosts::fresh().await;
        let opencrvs = OpencrvsSim::start(opencrvs).await.expect("OpenCRVS");
        let dir = temporary("world");
        std::fs::create_dir_all(&dir).expect("a directory for logs");
        let url = fresh_url(engine).await;
        let front = free_port();
        let admin: BTreeMap<_, _> = ROLES.into_iter().map(|role| (role, free_port())).collect();
        let mut environment = short_delays();
        for (name, value) in [
            ("AMQP_URL", vhosts.link_settings("x").url.expose_secret().to_owned()),
            ("NID_AMQP_URL", vhosts.nid_link_settings("x").url.expose_secret().to_owned()),
            ("LEDGER_URL", url.clone()),
            ("SEAL_KEYS", SEAL_KEYS.to_owned()),
            ("AUTH_URL", opencrvs.auth_url()),
            ("GATEWAY_URL", opencrvs.gateway_url()),
            ("FRONT_LISTEN", format!("127.0.0.1:{front}")),
        ] {
            environment.insert(name.to_owned(), value);
        }
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let ledger = ledger(&url, SEAL_KEYS).await.expect("the ledger");
        let nothing = Topology::empty(&vhosts.vendor);
        let vendor = vendor_settings(vhosts.vendor_url());
        let vendor = Link::open(&vendor, nothing, Arc::new(Unobserved));
        let nid = NidSim::start(quick_vendor(), &vendor);
        let front = Url::parse(&format!("http://127.0.0.1:{front}/")).expect("a URL");
        Self {
            opencrvs,
            nid,
            ledger,
            front,
            admin,
            dir,
            vhosts,
            vendor,
            roles: BTreeMap::new(),
            environment,
            role_settings: BTreeMap::new(),
            wrappers: BTreeMap::new(),
        }
    }

    /// Puts a copy in the place of the ledger, for every role that is started from now on.
    pub async fn restore(&mut self, copy: &str) {
        self.ledger = ledger(copy, SEAL_KEYS).await.expect("the restored ledger");
        self.set("LEDGER_URL", copy);
    }

    pub fn vhosts(&self) -> &Vhosts {
        &self.vhosts
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for role in self.roles.values_mut() {
            role.kill();
        }
        let vendor = self.vendor.clone();
        drop(tokio::runtime::Handle::current().spawn(vendor.close()));
        // The logs of a test that fails are kept, with what the broker logged so far.
        if std::thread::panicking() {
            let broker = self.vhosts.copy_log(&self.dir.join("broker.log"));
            eprintln!("the logs of this test are in {} (broker: {broker:?})", self.dir.display());
        } else {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

fn short_delays() -> BTreeMap<String, String> {
    [
        ("RETRY_STEPS", "200ms,500ms,1s,2s"),
        // Some stories count the calls of the confirmer, or give the next call a fault. Those of
        // `send_check`, `pipeline`, `gateway` and `events` have this read (`World::checked`).
        ("SEND_CHECK", "false"),
        ("PUBLISH_TIMEOUT", "2s"),
        // Counted from the acceptance, in addition to the publish timeout.
        ("CONFIRM_DELAY", "1ms"),
        ("CONFIRM_LEASE", "6s"),
        ("CONFIRM_QUARANTINE", "2s"),
        ("OPENCRVS_TIMEOUT", "2500ms"),
        ("OPENCRVS_CONNECT_TIMEOUT", "1s"),
        ("OPENCRVS_KEY_REFETCH", "200ms"),
        ("BREAKER_PAUSE", "200ms"),
        ("BREAKER_PAUSE_MAX", "1s"),
        ("BROKER_DRAIN", "5s"),
        ("BROKER_RECONNECT_MAX", "500ms"),
        ("LOG_FORMAT", "json"),
        ("LOG_FILTER", "info,nidbridge=debug"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
