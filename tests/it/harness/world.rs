//! The whole bridge with both of its sides: real processes, real sockets, a private broker and a private database.
//!
//! The processes are the product's own binary, so that a story can kill one of them with `kill -9`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nidbridge::broker::{Link, LinkSettings, Topology};
use nidbridge::domain::{EventKind, RecordId, RequestId};
use nidbridge::ledger::{HistoryEntry, Ledger};
use nidbridge::pipeline::topology;
use nidbridge::sandbox::guardian::Guardian;
use nidbridge::sandbox::nid::{NidSim, VendorSettings};
use nidbridge::sandbox::opencrvs::{OpencrvsSettings, OpencrvsSim};
use nidbridge::sandbox::population::Declaration;
use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::ground::{connected, temporary};
use super::ledgers::{Engine, SEAL_KEYS, fresh_url, ledger};
use super::{ChaosProxy, Ground, clock, eventually};

/// How long a story waits for something that has to happen.
pub const SOON: Duration = Duration::from_secs(60);

/// A role of the bridge that runs as a process of its own.
pub struct Role {
    child: Child,
    _guardian: Guardian,
}

/// Both sides and the bridge between them.
pub struct World {
    pub opencrvs: OpencrvsSim,
    pub nid: NidSim,
    pub ledger: Ledger,
    ground: Ground,
    pub front: Url,
    pub admin: BTreeMap<&'static str, u16>,
    pub dir: PathBuf,
    vendor: Link,
    roles: BTreeMap<&'static str, Role>,
    environment: BTreeMap<String, String>,
    /// What a role is told instead, or as well.
    own: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// What a role is started by, such as `unshare`.
    by: BTreeMap<&'static str, Vec<String>>,
}

impl World {
    /// All roles, running and ready, with short delays and a well-behaved ID system.
    pub async fn new(engine: Engine) -> Self {
        Self::with(engine, &[]).await
    }

    /// The same with settings of the story's own.
    pub async fn with(engine: Engine, settings: &[(&str, &str)]) -> Self {
        Self::beside(OpencrvsSettings::default(), engine, settings).await
    }

    /// The same beside an OpenCRVS of the story's own.
    pub async fn beside(opencrvs: OpencrvsSettings, engine: Engine, settings: &[(&str, &str)]) -> Self {
        let mut world = Self::of(opencrvs, engine, settings).await;
        for role in ["front", "worker", "confirmer"] {
            world.start(role);
        }
        for role in ["front", "worker", "confirmer"] {
            world.ready(role).await;
        }
        world
    }

    /// The front alone: what it accepts stays in its queue.
    pub async fn with_front(settings: &[(&str, &str)]) -> Self {
        let mut world = Self::empty(Engine::Sqlite, settings).await;
        world.start("front");
        world.ready("front").await;
        world
    }

    /// Both sides; no role runs yet.
    pub async fn empty(engine: Engine, settings: &[(&str, &str)]) -> Self {
        Self::of(OpencrvsSettings::default(), engine, settings).await
    }

    async fn of(opencrvs: OpencrvsSettings, engine: Engine, settings: &[(&str, &str)]) -> Self {
        let ground = Ground::fresh().await;
        let opencrvs = OpencrvsSim::start(opencrvs).await.expect("OpenCRVS");
        let dir = temporary("world");
        std::fs::create_dir_all(&dir).expect("a directory for logs");
        let url = fresh_url(engine).await;
        let front = free_port();
        let admin: BTreeMap<_, _> =
            ["front", "worker", "confirmer"].into_iter().map(|role| (role, free_port())).collect();
        let mut environment: BTreeMap<String, String> = [
            ("AMQP_URL", ground.link_settings("x").url.expose_secret().to_owned()),
            ("NID_AMQP_URL", ground.nid_link_settings("x").url.expose_secret().to_owned()),
            ("LEDGER_URL", url.clone()),
            ("SEAL_KEYS", SEAL_KEYS.to_owned()),
            ("AUTH_URL", opencrvs.auth_url()),
            ("GATEWAY_URL", opencrvs.gateway_url()),
            ("FRONT_LISTEN", format!("127.0.0.1:{front}")),
            ("RETRY_STEPS", "200ms,500ms,1s,2s".to_owned()),
            ("PUBLISH_TIMEOUT", "2s".to_owned()),
            // The pause is counted from the acceptance, on top of the publish timeout; stories are short.
            ("CONFIRM_DELAY", "1ms".to_owned()),
            ("CONFIRM_LEASE", "6s".to_owned()),
            ("CONFIRM_QUARANTINE", "2s".to_owned()),
            ("OPENCRVS_TIMEOUT", "2500ms".to_owned()),
            ("OPENCRVS_CONNECT_TIMEOUT", "1s".to_owned()),
            ("OPENCRVS_KEY_REFETCH", "200ms".to_owned()),
            ("BREAKER_PAUSE", "200ms".to_owned()),
            ("BREAKER_PAUSE_MAX", "1s".to_owned()),
            ("BROKER_DRAIN", "5s".to_owned()),
            ("BROKER_RECONNECT_MAX", "500ms".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
            ("LOG_FILTER", "info,nidbridge=debug".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        for (name, value) in settings {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        let ledger = ledger(&url, SEAL_KEYS).await.expect("the ledger");
        let nothing = Topology::empty(&ground.nid_vhost);
        let own = topology::national_id(&ground.settings).in_vhost(&ground.nid_vhost);
        // The vendor may configure nothing, so its queues are there before it comes.
        let ours = Link::open(
            &ground.nid_link_settings("set-up"),
            nothing.clone(),
            std::sync::Arc::new(nidbridge::broker::Unobserved),
        );
        let ours = connected(ours).await;
        // Declared by the worker with its own settings when it starts; the two queues of requests suffice here.
        drop(own);
        ours.close().await;
        let vendor = vendor_settings(ground.vendor_url());
        let vendor = Link::open(&vendor, nothing, std::sync::Arc::new(nidbridge::broker::Unobserved));
        let nid = NidSim::start(quick_vendor(), &vendor);
        let front = Url::parse(&format!("http://127.0.0.1:{front}/")).expect("a URL");
        let (roles, own, by) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { opencrvs, nid, ledger, ground, front, admin, dir, vendor, roles, environment, own, by }
    }

    /// A setting of every role that is started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// A proxy between our broker and every role that is started from now on.
    pub async fn proxy_to_broker(&mut self) -> ChaosProxy {
        let proxy = ChaosProxy::before(self.ground.amqp_port()).await;
        let settings = self.ground.link_settings_by("proxy", proxy.port());
        self.set("AMQP_URL", settings.url.expose_secret());
        proxy
    }

    /// A proxy between the gateway and every role that is started from now on.
    pub async fn proxy_to_gateway(&mut self) -> ChaosProxy {
        let proxy = ChaosProxy::before(port_of(&self.opencrvs.gateway_url())).await;
        self.set("GATEWAY_URL", &format!("http://127.0.0.1:{}", proxy.port()));
        proxy
    }

    /// A proxy between auth and a role, from its next start on.
    pub async fn proxy_to_auth(&mut self, role: &'static str) -> ChaosProxy {
        let proxy = ChaosProxy::before(port_of(&self.opencrvs.auth_url())).await;
        self.set_for(role, "AUTH_URL", &format!("http://127.0.0.1:{}", proxy.port()));
        proxy
    }

    /// A proxy between the ledger (PostgreSQL) and every role that is started from now on.
    pub async fn proxy_to_ledger(&mut self) -> ChaosProxy {
        let mut url = Url::parse(self.ledger_url()).expect("a URL");
        let proxy = ChaosProxy::before(url.port().expect("a port")).await;
        url.set_port(Some(proxy.port())).expect("a URL with a port");
        self.set("LEDGER_URL", url.as_str());
        proxy
    }

    /// The vendor is gone; what it had in hand goes back to its queues.
    pub async fn vendor_leaves(&mut self) {
        self.nid.kill().await;
        self.vendor.clone().close().await;
    }

    /// It is back.
    pub fn vendor_returns(&mut self) {
        let settings = vendor_settings(self.ground.vendor_url());
        let nothing = Topology::empty(&self.ground.nid_vhost);
        self.vendor = Link::open(&settings, nothing, std::sync::Arc::new(nidbridge::broker::Unobserved));
        self.nid.restart(&self.vendor);
    }

    /// Starts a role as a process of its own; its log goes to the world's directory.
    pub fn start(&mut self, role: &'static str) {
        self.start_as(role, role);
    }

    /// The same under a name of its own, so that a role can run more than once.
    pub fn start_as(&mut self, name: &'static str, role: &'static str) {
        let log = File::options().create(true).append(true).open(self.log(name)).expect("a log");
        let port = *self.admin.entry(name).or_insert_with(free_port);
        let mut command = self.command(role, &[role]);
        command.env("ADMIN_LISTEN", format!("127.0.0.1:{port}"));
        command.envs(self.own.get(name).into_iter().flatten());
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the product's binary");
        let guardian = Guardian::watch(&[child.id()], None).expect("a guardian");
        self.roles.insert(name, Role { child, _guardian: guardian });
    }

    /// Runs a command of the product to its end, with these settings over the world's; its exit code and its stdout.
    pub async fn run(&self, args: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = self.command("", args);
        command.envs(settings.iter().copied()).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("a thread").expect("the product's binary");
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Everything that the broker holds is lost: both vhosts are as on the first day.
    pub async fn lose_broker(&self) {
        self.ground.lose().await;
    }

    /// Empties a queue of our vhost and the delay queues beside it.
    pub async fn purge(&self, queue: &str) {
        self.ground.purge(queue).await;
    }

    /// The product's own command line, with the settings of a role.
    pub fn command(&self, role: &str, arguments: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_nidbridge");
        let mut command = match self.by.get(role).map(Vec::as_slice) {
            Some([first, rest @ ..]) => {
                let mut command = Command::new(first);
                command.args(rest).arg(binary);
                command
            }
            Some([]) | None => Command::new(binary),
        };
        command
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .env("PATH", "/usr/bin:/bin")
            .envs(clock::variables());
        if let Some(port) = self.admin.get(role) {
            command.env("ADMIN_LISTEN", format!("127.0.0.1:{port}"));
        }
        if let Some(own) = self.own.get(role) {
            command.envs(own);
        }
        command
    }

    /// A setting of one role alone, from its next start on.
    pub fn set_for(&mut self, role: &'static str, name: &str, value: &str) {
        self.own.entry(role).or_default().insert(name.to_owned(), value.to_owned());
    }

    /// Starts a role by another command, which is given the role's own command line as arguments.
    pub fn start_by(&mut self, role: &'static str, words: &[&str]) {
        self.by.insert(role, words.iter().map(|word| (*word).to_owned()).collect());
    }

    /// Puts a network that can be broken between a role, from its next start on, and the broker.
    pub async fn proxy_before_broker(&mut self, role: &'static str) -> ChaosProxy {
        let proxy = ChaosProxy::before(self.ground.amqp_port()).await;
        let url = self.ground.link_settings_by("x", proxy.port()).url;
        self.set_for(role, "AMQP_URL", url.expose_secret());
        proxy
    }

    /// Waits until a role says that it is ready.
    pub async fn ready(&mut self, role: &'static str) {
        let port = self.admin[role];
        eventually(SOON, &format!("{role} is ready"), async || {
            if let Some(status) =
                self.roles.get_mut(role).and_then(|role| role.child.try_wait().ok().flatten())
            {
                panic!("{role} has ended with {status}:\n{}", self.log_text(role));
            }
            (http_status(port, "/readyz") == Some(200)).then_some(())
        })
        .await;
    }

    /// Ends a role at once, as a crash would.
    pub fn kill9(&mut self, role: &'static str) {
        let mut gone = self.roles.remove(role).expect("a role that runs");
        gone.child.kill().expect("a process to kill");
        gone.child.wait().expect("its end");
    }

    /// The process of a role.
    pub fn pid(&self, role: &str) -> Pid {
        Pid::from_child(&self.roles[role].child)
    }

    /// Ends a role by SIGTERM and waits for it; its exit code.
    pub async fn terminate(&mut self, role: &'static str) -> Option<i32> {
        let mut going = self.roles.remove(role).expect("a role that runs");
        let pid = Pid::from_child(&going.child);
        kill_process(pid, Signal::TERM).expect("a process to stop");
        let what = format!("{role} has ended");
        let status = eventually(SOON, &what, async || going.child.try_wait().expect("its state")).await;
        status.code()
    }

    /// Where the log of a role is.
    pub fn log(&self, role: &str) -> PathBuf {
        self.dir.join(format!("{role}.log"))
    }

    /// The log of a role.
    pub fn log_text(&self, role: &str) -> String {
        std::fs::read_to_string(self.log(role)).unwrap_or_default()
    }

    /// What the admin listener of a role answers: status and body.
    pub fn admin(&self, role: &'static str, path: &str) -> Option<(u16, String)> {
        let port = self.admin[role];
        Some((http_status(port, path)?, http_body(port, path)?))
    }

    /// A metric of a role, summed over its labels that contain `with`.
    pub fn metric(&self, role: &'static str, name: &str, with: &str) -> f64 {
        let text = http_body(self.admin[role], "/metrics").unwrap_or_default();
        text.lines()
            .filter(|line| line.starts_with(name) && line.contains(with))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// The history of a record in the ledger, oldest first.
    pub async fn history(&self, record: &str) -> Vec<HistoryEntry> {
        self.ledger.history(&RecordId::parse(record).unwrap()).await.expect("the history")
    }

    /// The registration number of a record: the year (UTC) in which the first attempt was accepted, then
    /// the tracking id.
    pub async fn number_of(&self, declaration: &Declaration) -> String {
        let record = RecordId::parse(&declaration.record).unwrap();
        let attempts = self.ledger.attempts_of(&record).await.expect("the attempts");
        let accepted = attempts.iter().map(|case| case.attempt.accepted_at).min().expect("an attempt");
        format!("{}{}", accepted.strftime("%Y"), declaration.tracking_id)
    }

    /// All metrics of a role.
    pub fn metrics_text(&self, role: &'static str) -> String {
        http_body(self.admin[role], "/metrics").unwrap_or_default()
    }

    /// Fails the story if a role has ended that nobody ended.
    pub fn assert_all_run(&mut self) {
        let ended: Vec<_> = self
            .roles
            .iter_mut()
            .filter_map(|(name, role)| Some((*name, role.child.try_wait().ok().flatten()?)))
            .collect();
        assert!(ended.is_empty(), "these have ended: {ended:?}");
    }

    /// The vhosts that the story has to itself.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Where the ledger is.
    pub fn ledger_url(&self) -> &str {
        &self.environment["LEDGER_URL"]
    }

    /// A link with the rights of the vendor, who may send more than we ever would.
    pub async fn vendor_link(&self) -> Link {
        let settings = LinkSettings {
            apply_topology: false,
            max_message: 16 * 1024 * 1024,
            publish_timeout: Duration::from_secs(20),
            ..LinkSettings::new("another vendor", self.ground.vendor_url())
        };
        let nothing = Topology::empty(&self.ground.nid_vhost);
        connected(Link::open(&settings, nothing, std::sync::Arc::new(nidbridge::broker::Unobserved))).await
    }

    /// A link of the story's own to our vhost, for looking at queues.
    pub async fn look(&self) -> Link {
        let nothing = Topology::empty(&self.ground.vhost);
        connected(Link::open(
            &self.ground.link_settings("look"),
            nothing,
            std::sync::Arc::new(nidbridge::broker::Unobserved),
        ))
        .await
    }

    /// The same to the vendor's vhost.
    pub async fn look_nid(&self) -> Link {
        let nothing = Topology::empty(&self.ground.nid_vhost);
        connected(Link::open(
            &self.ground.nid_link_settings("look"),
            nothing,
            std::sync::Arc::new(nidbridge::broker::Unobserved),
        ))
        .await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for role in self.roles.values_mut() {
            drop(role.child.kill());
            drop(role.child.wait());
        }
        let vendor = self.vendor.clone();
        drop(tokio::runtime::Handle::current().spawn(vendor.close()));
        // A story that fails leaves its logs for whoever looks into it.
        if std::thread::panicking() {
            eprintln!("the logs of this story are in {}", self.dir.display());
        } else {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

fn port_of(url: &str) -> u16 {
    Url::parse(url).expect("a URL").port().expect("a port")
}

/// The request id of a record.
pub fn request_of(record: &str, kind: &str) -> String {
    RequestId::of(&RecordId::parse(record).unwrap(), &EventKind::from_name(kind)).to_string()
}

/// A vendor that waits for the broker as long as it takes, so that it does not say twice what came late.
fn vendor_settings(url: SecretString) -> LinkSettings {
    LinkSettings {
        apply_topology: false,
        publish_timeout: Duration::from_secs(20),
        ..LinkSettings::new("vendor", url)
    }
}

fn quick_vendor() -> VendorSettings {
    VendorSettings {
        latency_min: Duration::from_millis(5),
        latency_max: Duration::from_millis(50),
        ..VendorSettings::default()
    }
}

/// Below what the system gives away by itself, so that nobody gets it between this call and the role's start.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on and nobody is given by chance.
pub fn free_port() -> u16 {
    let first = 11_000 + u16::try_from(std::process::id() % 280).unwrap_or_default() * 30;
    loop {
        let port = first + NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn http_get(port: u16, path: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn http_status(port: u16, path: &str) -> Option<u16> {
    http_get(port, path)?.split(' ').nth(1)?.parse().ok()
}

fn http_body(port: u16, path: &str) -> Option<String> {
    http_get(port, path)?.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}
