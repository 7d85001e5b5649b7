//! A private PostgreSQL server, started by the first test that needs it, with one database for each
//! test.
//!
//! PostgreSQL refuses to run as root. If the test runs as root, PostgreSQL runs as the user
//! `postgres`.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::child::ChildProcess;
use super::ports::free_port;
use super::{clock, eventually, temporary};

const INSTALL: &str =
    "PostgreSQL is not installed: run `apt-get install -y --no-install-recommends postgresql`";
const USER: &str = "nidbridge";

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

pub struct Cluster {
    programs: PathBuf,
    dir: PathBuf,
    port: u16,
    postgres: ChildProcess,
}

/// The URL of a new, empty database.
pub async fn fresh_database() -> String {
    let cluster = CLUSTER.get_or_init(Cluster::start).await;
    let name = cluster.database();
    url(cluster.port, &name)
}

/// Copies a database as it is, and returns the URL of the copy. Connections to it are ended.
pub async fn copy_of_database(url: &str) -> String {
    let cluster = CLUSTER.get_or_init(Cluster::start).await;
    let (_, from) = url.rsplit_once('/').expect("a URL with a database");
    let name = format!("copy_{}", Uuid::new_v4().simple());
    let copied = || {
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'");
        cluster.sql(&end);
        cluster.psql(&format!("CREATE DATABASE {name} TEMPLATE {from}")).status.success()
    };
    eventually(Duration::from_secs(60), "a copy of the database", async || copied().then_some(())).await;
    self::url(cluster.port, &name)
}

pub fn url(port: u16, database: &str) -> String {
    format!("postgres://{USER}@127.0.0.1:{port}/{database}")
}

impl Cluster {
    pub async fn start() -> Self {
        let programs = programs().unwrap_or_else(|| panic!("{INSTALL}"));
        let dir = temporary("postgres");
        std::fs::create_dir_all(&dir).expect("a directory for PostgreSQL");
        if root() {
            must(Command::new("chown").arg("postgres").arg(&dir));
        }
        let data = dir.join("data");
        let mut initdb = as_user(&programs.join("initdb"));
        initdb.args(["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]);
        must(initdb.args(["--username", USER, "--pgdata"]).arg(&data));
        let port = free_port();
        let postgres = launch(&programs, &dir, port);
        let cluster = Self { programs, dir, port, postgres };
        cluster.ready().await;
        cluster
    }

    /// Makes a new, empty database and returns its name.
    pub fn database(&self) -> String {
        let name = format!("test_{}", Uuid::new_v4().simple());
        self.sql(&format!("CREATE DATABASE {name}"));
        name
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server as a crash would: without a checkpoint, and with every connection broken.
    pub async fn crash(&mut self) {
        assert!(self.postgres.signal(Signal::QUIT), "PostgreSQL does not run");
        eventually(Duration::from_secs(60), "PostgreSQL has crashed", async || self.postgres.status()).await;
    }

    /// Ends the server and removes its data.
    pub async fn stop(mut self) {
        self.crash().await;
        std::fs::remove_dir_all(&self.dir).expect("PostgreSQL's directory");
    }

    /// Starts the server again after a crash.
    pub async fn recover(&mut self) {
        self.postgres = launch(&self.programs, &self.dir, self.port);
        self.ready().await;
    }

    async fn ready(&self) {
        eventually(Duration::from_secs(60), "PostgreSQL is ready", async || {
            self.psql("SELECT 1").status.success().then_some(())
        })
        .await;
    }

    fn sql(&self, statement: &str) {
        let output = self.psql(statement);
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn psql(&self, statement: &str) -> Output {
        Command::new(self.programs.join("psql"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, "-d", "postgres"])
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement])
            .stdin(Stdio::null())
            .output()
            .expect("psql")
    }
}

fn launch(programs: &Path, dir: &Path, port: u16) -> ChildProcess {
    let mut postgres = as_user(&programs.join("postgres"));
    postgres.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"]);
    postgres.arg(dir).args(["-c", "max_connections=300", "-c", "shared_buffers=64MB"]);
    ChildProcess::start_in(postgres.process_group(0), &dir.join("log"), Some(dir))
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `setpriv` replaces itself with the program, so the process id is that of PostgreSQL.
fn as_user(program: &Path) -> Command {
    let mut command = if root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]);
        let before = clock::across_users(&mut command);
        command.args(before).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

fn must(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("a program of PostgreSQL");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The directory of `initdb`: the one that `pg_config` names, or that of the newest installed
/// version.
fn programs() -> Option<PathBuf> {
    let said = Command::new("pg_config").arg("--bindir").output().ok();
    let said = said.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let mut known: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    known.sort();
    said.into_iter().chain(known.into_iter().rev()).find(|dir| dir.join("initdb").exists())
}
