//! The open files of a process: how many it may have, how they are shared out, and who may read
//! what it writes.
//!
//! Invariant: the connections of the front leave enough files for everything else, above all for
//! the admin listener. Only the process's own user can read the files that it makes.

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};

/// More than any process of the bridge needs.
const ENOUGH: u64 = 1 << 16;
/// Files for all but the front's callers: broker, ledger, spool, calls to other services, admin
/// listener.
const OTHERS: u64 = 256;

/// Keeps what the process knows from other users: files that it makes from now on, such as the
/// ledger and the cached key of auth, and a core dump, which would contain keys and tokens.
pub(crate) fn keep_private() {
    umask(Mode::RWXG | Mode::RWXO);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // A dump that is piped to a program is made whatever the limit is.
    let off = setrlimit(Resource::Core, none).and(set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = off {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
}

/// Raises the limit of open files as far as the system lets the process.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// How many connections the front may have: `connections`, or fewer if the process may not open
/// that many files. Each of up to `proxied` requests needs a second one.
pub(crate) fn front_connections(connections: u32, proxied: u32) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH);
    let allowed = shared_out(files, connections.into(), proxied.into());
    if allowed < connections.into() {
        tracing::warn!(
            files,
            connections = allowed,
            "the limit of open files leaves the front fewer than FRONT_CONNECTIONS: raise it (ulimit -n), or lower \
             FRONT_CONNECTIONS"
        );
    }
    usize::try_from(allowed).unwrap_or(usize::MAX)
}

fn shared_out(files: u64, connections: u64, proxied: u64) -> u64 {
    // Of a small number of files, the callers get half.
    let callers = files.saturating_sub(OTHERS).max(files / 2);
    let proxied = proxied.min(callers / 2);
    connections.min(callers - proxied).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_leave_files_for_everything_else() {
        assert_eq!(shared_out(65_536, 4_096, 4_096), 4_096);
        assert_eq!(shared_out(65_536, 4_096, 0), 4_096);
        assert_eq!(shared_out(1_024, 4_096, 0), 768);
        assert_eq!(shared_out(1_024, 4_096, 4_096), 384);
        assert_eq!(shared_out(1_024, 100, 4_096), 100);
        assert_eq!(shared_out(64, 4_096, 4_096), 16);
        assert_eq!(shared_out(1, 4_096, 4_096), 1);
    }
}
