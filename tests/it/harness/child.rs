//! A child process with a log file.
//!
//! Invariant: the process ends when its value is dropped, and also when the test process is killed.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use nidbridge::sandbox::guardian::Guardian;
use rustix::process::{Pid, Signal, kill_process};

pub struct ChildProcess {
    child: Child,
    guardian: Option<Guardian>,
}

impl ChildProcess {
    /// Starts the command; stdout and stderr are appended to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        Self::start_in(command, log, None)
    }

    /// As [`ChildProcess::start`]. If the test process is killed, `temporary` is removed too.
    pub fn start_in(command: &mut Command, log: &Path, temporary: Option<&Path>) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let guardian = Guardian::watch(&[child.id()], temporary).expect("a guardian");
        Self { child, guardian: Some(guardian) }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Returns false if the process has ended.
    pub fn signal(&self, signal: Signal) -> bool {
        kill_process(self.pid(), signal).is_ok()
    }

    /// The exit status, if the process has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a process")
    }

    /// Sends SIGTERM and waits for the end, however long that takes.
    pub fn terminate(&mut self) {
        if self.status().is_none() {
            self.signal(Signal::TERM);
            drop(self.child.wait());
        }
    }

    /// Kills the process and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
    }
}
