//! The other programs of a recipe: Node with a country config, and nginx.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::child::ChildProcess;
use crate::harness::eventually;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};

/// The directory of `deploy/attach/tools`.
pub fn tools() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_nidbridge")).ancestors().nth(2).unwrap();
    let tools = target.join("tools/attach");
    assert!(tools.join("stamp").exists(), "{} is not there: run deploy/attach/tools", tools.display());
    tools
}

/// The documents of a YAML file of the repository.
pub fn yaml(path: &str) -> Vec<Value> {
    let read = "const [, file] = process.argv; const { parseAllDocuments } = require('yaml'); \
                const all = parseAllDocuments(require('fs').readFileSync(file, 'utf8'), { merge: true }); \
                console.log(JSON.stringify(all.map((one) => one.toJS())))";
    let mut command = Command::new(tools().join("node"));
    let output = command.current_dir(tools()).arg("-e").arg(read).arg(ours(path)).output().unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn ours(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A program that listens until this value is dropped.
pub struct Program {
    pub port: u16,
    log: PathBuf,
    process: ChildProcess,
}

impl Program {
    /// Starts a country config on Node 20. Given the URL of the bridge, it forwards registrations
    /// there.
    pub async fn country(world: &World, bridge: Option<&str>) -> Self {
        let (tools, dir, port) = (tools(), world.dir.join("country"), free_port());
        fs::create_dir_all(&dir).unwrap();
        fs::copy(ours("tests/it/attach/country.mjs"), dir.join("country.mjs")).unwrap();
        fs::copy(ours("deploy/attach/node/forward.mjs"), dir.join("forward.mjs")).unwrap();
        std::os::unix::fs::symlink(tools.join("node_modules"), dir.join("node_modules")).unwrap();
        let mut command = Command::new(tools.join("node"));
        command.arg(dir.join("country.mjs")).arg(port.to_string()).args(bridge);
        Self::start(command, port, &dir).await
    }

    /// Starts nginx with `countryconfig.conf` before these two fronts and this country config.
    pub async fn nginx(world: &World, fronts: [u16; 2], country: u16) -> Self {
        let (dir, port) = (world.dir.join("nginx"), free_port());
        fs::create_dir_all(&dir).unwrap();
        let mut shipped = fs::read_to_string(ours("deploy/attach/nginx/countryconfig.conf")).unwrap();
        for (from, to) in [
            ("nidbridge-front-1:3040", format!("127.0.0.1:{}", fronts[0])),
            ("nidbridge-front-2:3040", format!("127.0.0.1:{}", fronts[1])),
            ("countryconfig:3040", format!("127.0.0.1:{country}")),
            ("listen 3040", format!("listen 127.0.0.1:{port}")),
        ] {
            assert!(shipped.contains(from), "countryconfig.conf has no {from} any more");
            shipped = shipped.replace(from, &to);
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {}/{what};\n", dir.display()))
            .concat();
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let file = dir.join("nginx.conf");
        let whole = format!(
            "daemon off; master_process off; {user}\npid {0}/pid;\nerror_log {0}/error.log info;\n\
             events {{ worker_connections 512; }}\nhttp {{\naccess_log {0}/access.log;\n{temporary}{shipped}}}\n",
            dir.display()
        );
        fs::write(&file, whole).unwrap();
        let mut command = Command::new("nginx");
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin").arg("-p").arg(&dir).arg("-c").arg(&file);
        command.args(["-e", "error.log"]);
        Self::start(command, port, &dir).await
    }

    async fn start(mut command: Command, port: u16, dir: &Path) -> Self {
        let log = dir.join("out.log");
        let process = ChildProcess::start(&mut command, &log);
        let mut started = Self { port, log, process };
        eventually(SOON, &format!("{command:?} listens"), async || {
            if let Some(status) = started.process.status() {
                panic!("{command:?} has ended with {status}: {}", started.said());
            }
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
        })
        .await;
        started
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Whether its log contains this text.
    pub fn has_said(&self, what: &str) -> bool {
        self.said().contains(what)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
