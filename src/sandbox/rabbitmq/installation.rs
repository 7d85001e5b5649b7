//! Where RabbitMQ is installed: in this system, or in another root file system.
//!
//! `NIDBRIDGE_RABBITMQ` names the other root, for example a directory that contains a Debian
//! release with a newer broker. A node then runs inside that root. Its own directory has the same
//! path inside and outside, and it uses the same loopback interface.
//!
//! Invariant: the mounts belong to the process and end with it, however it ends. Nothing is written
//! into the root except empty directories as mount points.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::Sources;

const VARIABLE: &str = "NIDBRIDGE_RABBITMQ";

/// Each command replaces itself with the next one, so that the process that we start becomes the
/// program itself. A tmpfs is mounted over the top-level directory in which the node's directory
/// lies, so that the mount point of the node's directory is made in memory and not on disk.
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

/// Whether a program exists in the root from which nodes are started.
pub(super) fn has(program: &str) -> bool {
    let root = root().unwrap_or_else(|| PathBuf::from("/"));
    // The program may be a symbolic link that resolves correctly only inside its own root, so only
    // the link itself is checked.
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
