//! Passes a shifted clock on to the processes that a test starts.
//!
//! `deploy/test --all` runs some tests with libfaketime preloaded, which reads the shift from the
//! environment. A process that is started with an empty environment, or as another user, would use
//! the real clock instead.
//!
//! Invariant: the test, the roles, the ledger's database and the broker use the same clock.

use std::process::Command;

use nidbridge::config::Sources;

const LIBRARY: &str = "LD_PRELOAD";
/// Names libfaketime's shared memory, which belongs to the user who started the test.
const SHARED: &str = "FAKETIME_SHARED";

/// The variables that shift the clock; none if the test itself runs under the real clock.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    Sources::of_process(None).environment.into_iter().filter(|(name, _)| {
        name == LIBRARY || name == "TZ" || name.contains("FAKETIME") || name == "NO_FAKE_STAT"
    })
}

/// Prepares a command that changes to another user before it runs its program. Returns the words to
/// put before the program. The library is loaded only after the change of user, because its memory
/// cannot be shared across users.
pub fn across_users(command: &mut Command) -> Vec<String> {
    command.env_remove(LIBRARY).env_remove(SHARED);
    let library = variables().find(|(name, _)| name == LIBRARY);
    library.map_or_else(Vec::new, |(name, path)| vec!["env".to_owned(), format!("{name}={path}")])
}
