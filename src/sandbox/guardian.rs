//! Ends helper processes when ours ends, even if it is killed.
//!
//! A shell reads from a pipe whose other end only our process has. When our process ends, the pipe
//! closes. The shell then ends the processes that it was given and removes the directory.
//!
//! Invariant: nothing that a guardian watches outlives our process by more than ten seconds.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A line on the pipe means that the guardian is no longer needed. The end of the pipe means that
/// our process has ended. The first argument is the directory to remove, or empty; the others are
/// the process ids.
const SCRIPT: &str = r#"
trap '' INT HUP TERM
read -r line && exit 0
remove=$1
shift
kill -TERM "$@"
tries=0
while [ "$tries" -lt 100 ]; do
  alive=
  for process in "$@"; do kill -0 "$process" && alive=yes; done
  [ -z "$alive" ] && break
  sleep 0.1
  tries=$((tries + 1))
done
kill -KILL "$@"
[ -n "$remove" ] && rm -rf -- "$remove"
"#;

/// A shell that watches processes and ends them when our process ends.
#[derive(Debug)]
pub struct Guardian {
    shell: Child,
}

impl Guardian {
    /// Watches these processes. `remove` is a directory that the guardian removes after them.
    ///
    /// # Errors
    /// When no shell can be started.
    pub fn watch(processes: &[u32], remove: Option<&Path>) -> io::Result<Self> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "guardian"])
            .arg(remove.unwrap_or_else(|| Path::new("")))
            .args(processes.iter().map(ToString::to_string))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { shell })
    }

    /// Stops watching. Call it when the processes have ended, because their ids may soon belong to
    /// others.
    pub fn dismiss(mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            drop(pipe.write_all(b"done\n"));
        }
        drop(self.shell.wait());
    }
}
