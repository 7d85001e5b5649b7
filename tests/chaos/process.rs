//! A process of the bridge under a supervisor that restarts it, as a service manager does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::harness::child::ChildProcess;
use super::harness::http;

/// Pause of the supervisor before a restart (20 s in production).
const PAUSE: Duration = Duration::from_secs(1);
/// Interval at which the supervisor checks whether the process has ended.
const POLL: Duration = Duration::from_millis(20);
/// Time that a process gets to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(40);
/// The exit code for a dependency that cannot be reached (see `nidbridge --help`).
const UNAVAILABLE: i32 = 69;

/// How to start a process.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Name of the process, such as `front1`.
    pub name: String,
    /// Role of the process, such as `front`.
    pub role: &'static str,
    /// All its settings, as environment variables.
    pub environment: BTreeMap<String, String>,
    /// Port of its admin listener.
    pub admin: u16,
}

impl Recipe {
    /// A command line of the product's binary, with the settings of this process.
    pub fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nidbridge"));
        command.args(words).env_clear().envs(&self.environment).env("PATH", "/usr/bin:/bin");
        command
    }
}

/// An end of a process that the test did not cause.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Name of the process.
    pub name: String,
    pub status: ExitStatus,
}

impl Exit {
    /// Whether the process says that it could not reach a dependency at its start.
    pub fn is_unavailable(&self) -> bool {
        self.status.code() == Some(UNAVAILABLE)
    }
}

/// A supervised process.
pub struct Process {
    pub recipe: Recipe,
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
    supervisor: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// `None` while the process is down.
    child: Option<ChildProcess>,
    /// Whether the test is ending the process, so that its exit status does not count.
    ending: bool,
    exits: Vec<Exit>,
}

impl State {
    fn signal(&mut self, signal: Signal) -> bool {
        let Some(child) = &self.child else { return false };
        self.ending |= signal == Signal::KILL || signal == Signal::TERM;
        child.signal(signal)
    }

    /// Returns false while the process runs.
    fn note_end(&mut self, name: &str) -> bool {
        let Some(child) = &mut self.child else { return true };
        let Some(status) = child.status() else { return false };
        if !self.ending {
            self.exits.push(Exit { name: name.to_owned(), status });
        }
        self.child = None;
        true
    }
}

impl Process {
    /// Starts the process. Its log is written to `dir`.
    pub fn start(recipe: Recipe, dir: &Path) -> Self {
        let (state, stop) = (Arc::new(Mutex::new(State::default())), CancellationToken::new());
        let log = dir.join(format!("{}.log", recipe.name));
        let supervisor = supervise(recipe.clone(), log, Arc::clone(&state), stop.clone());
        Self { recipe, state, stop, supervisor: tokio::spawn(supervisor) }
    }

    /// Sends a signal to the process; returns false if the process is down.
    pub fn signal(&self, signal: Signal) -> bool {
        lock(&self.state).signal(signal)
    }

    /// The current process id.
    pub fn pid(&self) -> Option<Pid> {
        lock(&self.state).child.as_ref().map(ChildProcess::pid)
    }

    /// The ends of the process that the test did not cause.
    pub fn exits(&self) -> Vec<Exit> {
        lock(&self.state).exits.clone()
    }

    /// Whether the process reports that it is ready.
    pub fn is_ready(&self) -> bool {
        http::get(self.recipe.admin, "/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// Stops the process for good; returns a description of its end if that is not a normal one.
    pub async fn finish(&mut self) -> Option<String> {
        self.stop.cancel();
        if timeout(PATIENCE, &mut self.supervisor).await.is_ok() {
            return None;
        }
        self.signal(Signal::KILL);
        self.supervisor.abort();
        Some(format!("{} did not end within {PATIENCE:?} of SIGTERM", self.recipe.name))
    }
}

async fn supervise(recipe: Recipe, log: PathBuf, state: Arc<Mutex<State>>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let child = ChildProcess::start(&mut recipe.command([recipe.role]), &log);
        {
            let mut state = lock(&state);
            (state.child, state.ending) = (Some(child), stop.is_cancelled());
        }
        tokio::select! {
            () = ended(&state, &recipe.name) => {}
            () = stop.cancelled() => {
                lock(&state).signal(Signal::TERM);
                ended(&state, &recipe.name).await;
            }
        }
        if begun.elapsed() < PAUSE * 10 {
            drop(timeout(PAUSE, stop.cancelled()).await);
        }
    }
}

/// Waits for the end of the current child, and notes an end that the test did not cause.
async fn ended(state: &Mutex<State>, name: &str) {
    loop {
        if lock(state).note_end(name) {
            return;
        }
        sleep(POLL).await;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
