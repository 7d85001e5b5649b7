//! Who may read the files of an SQLite ledger.
//!
//! Invariant: only the owner, also of a file that an older release or the command line of SQLite
//! made.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

const OWNER_ONLY: u32 = 0o600;

/// Takes the ledger's file and those beside it from all other users. SQLite gives later files beside
/// it the same permissions.
pub(super) fn keep(url: &str) {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = path.split('?').next().unwrap_or_default();
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{path}{suffix}");
        let Ok(found) = fs::metadata(&path) else { continue };
        if !found.is_file() || found.permissions().mode() & 0o077 == 0 {
            continue;
        }
        if let Err(error) = fs::set_permissions(&path, Permissions::from_mode(OWNER_ONLY)) {
            tracing::warn!(%error, path, "other users may be able to read the ledger");
        }
    }
}
