//! The roles as processes: starts, configures and ends them, and runs the operator's commands.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};

use super::super::child::ChildProcess;
use super::super::http;
use super::super::ports::free_port;
use super::super::{clock, eventually};
use super::{SOON, World};

impl World {
    /// Changes a setting of every role that is started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Removes a setting, from the next start of a role on.
    pub fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// Changes a setting of one role, from its next start on.
    pub fn set_for(&mut self, role: &'static str, name: &str, value: &str) {
        self.role_settings.entry(role).or_default().insert(name.to_owned(), value.to_owned());
    }

    /// Starts a role as a process of its own. It logs into [`World::dir`].
    pub fn start(&mut self, role: &'static str) {
        self.start_as(role, role);
    }

    /// Starts a role under another name, so that the same role can run more than once.
    pub fn start_as(&mut self, name: &'static str, role: &'static str) {
        self.start_with(name, role, &[role]);
    }

    /// Starts a worker with these stages only.
    pub fn start_stages(&mut self, name: &'static str, stages: &str) {
        self.start_with(name, "worker", &["worker", "--stages", stages]);
    }

    fn start_with(&mut self, name: &'static str, role: &'static str, arguments: &[&str]) {
        let port = *self.admin.entry(name).or_insert_with(free_port);
        let mut command = self.command(role, arguments);
        command.env("ADMIN_LISTEN", format!("127.0.0.1:{port}"));
        command.envs(self.role_settings.get(name).into_iter().flatten());
        self.roles.insert(name, ChildProcess::start(&mut command, &self.log(name)));
    }

    /// Starts a role under another command, such as `unshare`, from its next start on. The command
    /// gets the command line of the role as its last arguments.
    pub fn start_under(&mut self, role: &'static str, words: &[&str]) {
        self.wrappers.insert(role, words.iter().map(|word| (*word).to_owned()).collect());
    }

    /// A command line of the product's binary, with the settings of a role.
    pub fn command(&self, role: &str, arguments: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_nidbridge");
        let mut command = match self.wrappers.get(role).map(Vec::as_slice) {
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
        if let Some(settings) = self.role_settings.get(role) {
            command.envs(settings);
        }
        command
    }

    /// Runs a command of the product's binary to its end. The given settings override those of the
    /// roles. Returns the exit code and stdout.
    pub async fn run(&self, args: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = self.command("", args);
        command.envs(settings.iter().copied()).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("a thread").expect("the product's binary");
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until `/readyz` of a role answers 200.
    pub async fn ready(&mut self, role: &'static str) {
        let port = self.admin[role];
        eventually(SOON, &format!("{role} is ready"), async || {
            if let Some(status) = self.roles.get_mut(role).and_then(ChildProcess::status) {
                panic!("{role} has ended with {status}:\n{}", self.log_text(role));
            }
            http::get(port, "/readyz").filter(|(status, _)| *status == 200).map(drop)
        })
        .await;
    }

    /// Waits until the front has reached the broker, before which it spools nothing.
    pub async fn front_is_connected(&self) {
        let connected = || self.metric("front", "nidbridge_broker_connected", "front") > 0.5;
        eventually(SOON, "the front has reached the broker", async || connected().then_some(())).await;
    }

    /// Ends a role as a crash would.
    pub fn kill9(&mut self, role: &'static str) {
        self.roles.remove(role).expect("a role that runs").kill();
    }

    /// Ends a role with SIGTERM and waits for its end; returns its exit code.
    pub async fn terminate(&mut self, role: &'static str) -> Option<i32> {
        let mut going = self.roles.remove(role).expect("a role that runs");
        assert!(going.signal(Signal::TERM), "{role} does not run");
        let status = eventually(SOON, &format!("{role} has ended"), async || going.status()).await;
        status.code()
    }

    pub fn pid(&self, role: &str) -> Pid {
        self.roles[role].pid()
    }

    /// Fails if a role has ended by itself.
    pub fn assert_all_run(&mut self) {
        let ended: Vec<_> =
            self.roles.iter_mut().filter_map(|(name, role)| Some((*name, role.status()?))).collect();
        assert!(ended.is_empty(), "these have ended: {ended:?}");
    }

    pub fn log(&self, role: &str) -> PathBuf {
        self.dir.join(format!("{role}.log"))
    }

    pub fn log_text(&self, role: &str) -> String {
        std::fs::read_to_string(self.log(role)).unwrap_or_default()
    }
}
