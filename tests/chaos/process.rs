//! A process of the bridge under a supervisor that restarts it, as a service manager does.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nidbridge::sandbox::guardian::Guardian;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Pause of the supervisor before a restart (20 s in production).
const PAUSE: Duration = Duration::from_secs(1);

/// How to start a process.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Name of the process, such as `front1`.
    pub name: String,
    /// Role of the process, such as `front`.
    pub role: &'static str,
    /// All its settings, as environment variables.
    pub environment: BTreeMap<String, String>,
    /// Port of its admin listener, which serves the metrics.
    pub admin: u16,
}

/// An end of a process that the test did not cause.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Name of the process.
    pub name: String,
    /// Exit status of the process.
    pub status: String,
    /// Whether the exit status says that the process could not reach a dependency at its start.
    pub unavailable: bool,
}

/// A supervised process.
pub struct Process {
    pub recipe: Recipe,
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
    supervisor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    pid: Option<Pid>,
    /// Whether the test is ending the process, so that its exit status does not count.
    doomed: bool,
    starts: u32,
    exits: Vec<Exit>,
}

impl Process {
    /// Starts the process. Its log is written to `dir`.
    pub fn start(recipe: Recipe, dir: &Path) -> Self {
        let (state, stop) = (Arc::new(Mutex::new(State::default())), CancellationToken::new());
        let supervisor = Supervisor {
            recipe: recipe.clone(),
            log: dir.join(format!("{}.log", recipe.name)),
            state: Arc::clone(&state),
            stop: stop.clone(),
        };
        let supervisor = Some(tokio::spawn(supervisor.run()));
        Self { recipe, state, stop, supervisor }
    }

    /// Sends a signal to the process; returns false if the process is down.
    pub fn signal(&self, signal: Signal) -> bool {
        let mut state = lock(&self.state);
        let Some(pid) = state.pid else { return false };
        state.doomed |= signal == Signal::KILL || signal == Signal::TERM;
        kill_process(pid, signal).is_ok()
    }

    /// The current process id.
    pub fn pid(&self) -> Option<Pid> {
        lock(&self.state).pid
    }

    /// The ends of the process that the test did not cause.
    pub fn exits(&self) -> Vec<Exit> {
        lock(&self.state).exits.clone()
    }

    /// Whether the process reports that it is ready.
    pub async fn ready(&self, http: &reqwest::Client) -> bool {
        let url = format!("http://127.0.0.1:{}/readyz", self.recipe.admin);
        http.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Stops the process for good; returns a description of its end if that is not a normal one.
    pub async fn finish(&mut self) -> Option<String> {
        self.stop.cancel();
        let supervisor = self.supervisor.take()?;
        let abort = supervisor.abort_handle();
        if tokio::time::timeout(Duration::from_secs(40), supervisor).await.is_err() {
            self.signal(Signal::KILL);
            abort.abort();
            return Some(format!("{} did not end within 40 s of SIGTERM", self.recipe.name));
        }
        None
    }
}

struct Supervisor {
    recipe: Recipe,
    log: PathBuf,
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self) {
        while !self.stop.is_cancelled() {
            let begun = Instant::now();
            let (mut child, guardian) = self.spawn();
            let status = tokio::select! {
                status = child.wait() => status,
                () = self.stop.cancelled() => {
                    self.terminate();
                    child.wait().await
                }
            };
            let status = status.expect("the end of a process");
            guardian.dismiss();
            self.ended(status);
            if begun.elapsed() < PAUSE * 10 {
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }

    fn terminate(&self) {
        let mut state = lock(&self.state);
        state.doomed = true;
        if let Some(pid) = state.pid {
            kill_process(pid, Signal::TERM).unwrap_or_default();
        }
    }

    fn spawn(&self) -> (Child, Guardian) {
        let log = File::options().create(true).append(true).open(&self.log).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_nidbridge"))
            .arg(self.recipe.role)
            .env_clear()
            .envs(&self.recipe.environment)
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the product's binary");
        let id = child.id().expect("a process that was just started");
        let guardian = Guardian::watch(&[id], None).expect("a guardian");
        let mut state = lock(&self.state);
        state.pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        state.doomed = self.stop.is_cancelled();
        state.starts += 1;
        (child, guardian)
    }

    fn ended(&self, status: std::process::ExitStatus) {
        let mut state = lock(&self.state);
        state.pid = None;
        if !state.doomed {
            let unavailable = status.code() == Some(UNAVAILABLE);
            state.exits.push(Exit {
                name: self.recipe.name.clone(),
                status: status.to_string(),
                unavailable,
            });
        }
    }
}

/// The exit code for a dependency that cannot be reached (see `nidbridge --help`).
const UNAVAILABLE: i32 = 69;

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
