//! nginx as the reverse proxy of the fronts, with the shipped configuration. Only ports and
//! timeouts are replaced.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::child::ChildProcess;

const SHIPPED: &str = include_str!("../../../deploy/nginx/nidbridge.conf");

/// A running nginx.
pub struct Nginx {
    pub port: u16,
    dir: PathBuf,
    process: ChildProcess,
}

impl Nginx {
    /// Starts nginx as the proxy of two fronts, with every timeout divided by `faster`. The chaos
    /// test passes half of its usual divisor: on two cores a front may be starved of CPU, and nginx
    /// must not mistake that for a front that hangs.
    pub fn start(dir: &Path, port: u16, fronts: &[u16], faster: u32) -> Self {
        Self::start_changed(dir, port, fronts, faster, str::to_owned)
    }

    /// As [`Nginx::start`], with a change of the configuration.
    pub fn start_changed(
        dir: &Path,
        port: u16,
        fronts: &[u16],
        faster: u32,
        change: impl FnOnce(&str) -> String,
    ) -> Self {
        let dir = dir.join("nginx");
        std::fs::create_dir_all(&dir).expect("a directory for nginx");
        let configuration = change(&configuration(&dir, port, fronts, faster));
        std::fs::write(dir.join("nginx.conf"), configuration).expect("a configuration for nginx");
        let process = spawn(&dir);
        Self { port, dir, process }
    }

    /// Kills nginx with its workers, as the end of a container does: connections break, and nothing
    /// listens until [`Nginx::restart`].
    pub fn kill(&mut self) {
        let workers = children(self.process.pid());
        self.process.kill();
        // The master is dead, so nothing starts new workers.
        for worker in workers {
            kill_process(worker, Signal::KILL).unwrap_or_default();
        }
    }

    /// Starts nginx again with the same configuration.
    pub fn restart(&mut self) {
        self.process = spawn(&self.dir);
    }

    /// Whether nginx accepts connections.
    pub fn answers(&self) -> bool {
        std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Only a master that handles a signal ends its workers.
        self.process.terminate();
    }
}

fn spawn(dir: &Path) -> ChildProcess {
    let known = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].map(Path::new);
    let program = known.into_iter().find(|path| path.exists());
    let mut command = Command::new(program.expect("nginx is not installed: deploy/chaos installs it"));
    command.arg("-p").arg(dir).arg("-c").arg(dir.join("nginx.conf")).args(["-e", "error.log"]);
    ChildProcess::start(&mut command, &dir.join("out.log"))
}

/// The child processes of a process, as listed by the kernel.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero();
    let listed =
        std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect()
}

/// The shipped configuration with these ports and the divided timeouts.
fn configuration(dir: &Path, port: u16, fronts: &[u16], faster: u32) -> String {
    let mut shipped = SHIPPED.to_owned();
    let ports = [
        ("127.0.0.1:3041", format!("127.0.0.1:{}", fronts[0])),
        ("127.0.0.1:3042", format!("127.0.0.1:{}", fronts[1])),
        ("127.0.0.1:3040", format!("127.0.0.1:{port}")),
    ];
    let times = [
        ("proxy_read_timeout", 30),
        ("proxy_send_timeout", 15),
        ("proxy_read_timeout", 150),
        ("proxy_send_timeout", 150),
        ("proxy_next_upstream_timeout", 90),
    ];
    let times =
        times.map(|(name, s)| (format!("{name} {s}s"), format!("{name} {}s", u32::div_ceil(s, faster))));
    for (from, to) in ports.map(|(from, to)| (from.to_owned(), to)).into_iter().chain(times) {
        assert!(shipped.contains(&from), "deploy/nginx/nidbridge.conf has no {from} any more");
        shipped = shipped.replace(&from, &to);
    }
    let dir = dir.display();
    // Workers run as the user who owns the temporary directories.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off;\n{user}\nworker_processes 1;\npid {dir}/nginx.pid;\nerror_log {dir}/error.log info;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log {dir}/access.log;\n  client_body_temp_path {dir}/body;\n  proxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/fastcgi;\n  uwsgi_temp_path {dir}/uwsgi;\n  scgi_temp_path {dir}/scgi;\n{shipped}}}\n"
    )
}
