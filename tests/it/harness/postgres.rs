//! A private PostgreSQL cluster, started by the first test that wants it; a database per test.
//!
//! PostgreSQL refuses to run as root, so there it runs as the package's user.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nidbridge::simulate::guardian::Guardian;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::eventually;
use super::ground::temporary;

const INSTALL: &str =
    "PostgreSQL is not installed: run `apt-get install -y --no-install-recommends postgresql`";
const USER: &str = "nidbridge";

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

struct Cluster {
    programs: PathBuf,
    port: u16,
    _postgres: Child,
    _guardian: Guardian,
}

/// The URL of a new, empty database.
pub async fn fresh_database() -> String {
    let cluster = CLUSTER.get_or_init(Cluster::start).await;
    let name = format!("test_{}", Uuid::new_v4().simple());
    cluster.sql(&format!("CREATE DATABASE {name}"));
    format!("postgres://{USER}@127.0.0.1:{}/{name}", cluster.port)
}

impl Cluster {
    async fn start() -> Self {
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
        let mut postgres = as_user(&programs.join("postgres"));
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"]).arg(&dir);
        postgres.args(["-c", "max_connections=300", "-c", "shared_buffers=64MB"]);
        let log = std::fs::File::create(dir.join("log")).expect("a log for PostgreSQL");
        let child = postgres
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log for PostgreSQL"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("PostgreSQL");
        let guardian = Guardian::watch(&[child.id()], Some(&dir)).expect("a guardian");
        let cluster = Self { programs, port, _postgres: child, _guardian: guardian };
        eventually(Duration::from_secs(60), "PostgreSQL is ready", async || {
            cluster.psql("SELECT 1").status.success().then_some(())
        })
        .await;
        cluster
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

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `setpriv` becomes the program, so that the process that was started is PostgreSQL itself.
fn as_user(program: &Path) -> Command {
    let mut command = if root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
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

/// Where `initdb` is: beside `pg_config`'s answer, or in the newest version that the package put there.
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

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}
