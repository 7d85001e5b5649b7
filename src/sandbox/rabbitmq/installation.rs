//! Where RabbitMQ is installed: in this system, or in a root file system of another one.
//!
//! `NIDBRIDGE_RABBITMQ` names the other root, such as a Debian release with a newer broker in a
//! directory. A node then runs inside it, with its own directory at the same path as outside, and
//! on the same loopback interface.
//!
//! Invariant: the mounts are the process's own and end with it, however it ends; nothing is written
//! into the root but empty directories to mount on.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::Sources;

const VARIABLE: &str = "NIDBRIDGE_RABBITMQ";

/// Each word of it becomes the next, so that the process that is started is the program itself. The
/// directory that the node's own lies in is hidden in there, so that nothing has to be made for it
/// on disk.
const ENTER: &str = r#"
set -e
root=$1
dir=$2
shift 2
top=${dir#/}
top=$root/${top%%/*}
mkdir -p "$root/dev" "$root/proc" "$top"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount -t tmpfs -o size=1m rabbitmq "$top"
mkdir -p "$root$dir"
mount --bind "$dir" "$root$dir"
exec chroot "$root" "$@"
"#;

/// Whether a program is installed where nodes are started from.
pub(super) fn has(program: &str) -> bool {
    let root = root().unwrap_or_else(|| PathBuf::from("/"));
    // What is installed may be a link that leads somewhere else outside of its own root.
    root.join(program.trim_start_matches('/')).symlink_metadata().is_ok()
}

/// A command line that starts a program for the node in a directory.
pub(super) fn command(program: &str, dir: &Path) -> Command {
    let Some(root) = root() else { return Command::new(program) };
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", ENTER, "rabbitmq"]);
    command.args([root.as_os_str(), dir.as_os_str(), OsStr::new(program)]);
    command
}

fn root() -> Option<PathBuf> {
    let environment = Sources::of_process(None).environment;
    environment.get(VARIABLE).filter(|root| !root.is_empty()).map(PathBuf::from)
}
