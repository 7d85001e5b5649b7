//! Files that were set aside because they cannot be relayed: who wrote them is unknown, or no broker
//! takes them.
//!
//! Invariant: such a file is renamed, never published and never deleted, and an operator is told of
//! it for as long as it is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::directory::Directory;
use super::index::FileVersion;
use super::relay::RelayResult;
use super::{Spool, lock};
use crate::domain::Cause;

/// Pause between two looks at the directory.
const LOOK: Duration = Duration::from_secs(60);
/// Files that a notice names.
const NAMED: usize = 5;

/// What this process knows of the files that it set aside.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Why, by file name.
    reasons: Mutex<BTreeMap<String, String>>,
    changed: Notify,
}

impl Spool {
    /// Renames a file that cannot be relayed; such a file is never deleted.
    pub(super) async fn set_aside(&self, version: &FileVersion, why: &str) -> RelayResult {
        let file = version.name.as_str();
        match self.on_disk(version, |shared, file| shared.retire(file, Directory::set_aside)).await {
            Ok(false) => return RelayResult::SetAside,
            Ok(true) => {
                let to = version.name.corrupt();
                tracing::error!(file, to, why, "a spooled registration cannot be relayed");
                lock(&self.shared.aside.reasons).insert(to, why.to_owned());
                self.shared.aside.changed.notify_one();
            }
            Err(cause) => {
                tracing::error!(file, %cause, why, "a spooled registration cannot be relayed, and its file cannot be renamed");
            }
        }
        self.shared.alarm(Cause::SpoolCorrupt);
        RelayResult::SetAside
    }

    /// What an operator has to know of the files that are set aside now; `None` if there are none.
    pub async fn set_aside_notice(&self) -> Option<String> {
        let shared = Arc::clone(&self.shared);
        let names = tokio::task::spawn_blocking(move || shared.directory.set_aside_names()).await;
        notice(&names.ok()?.ok()?, &lock(&self.shared.aside.reasons))
    }

    /// Waits until the notice may be another one.
    pub async fn notice_may_change(&self) {
        drop(tokio::time::timeout(LOOK, self.shared.aside.changed.notified()).await);
    }
}

fn notice(names: &[String], reasons: &BTreeMap<String, String>) -> Option<String> {
    let unknown = "set aside by an earlier process, whose log says why";
    let mut named: Vec<String> = names
        .iter()
        .take(NAMED)
        .map(|name| format!("{name}: {}", reasons.get(name).map_or(unknown, String::as_str)))
        .collect();
    if names.len() > NAMED {
        named.push(format!("and {} more", names.len() - NAMED));
    }
    (!names.is_empty()).then(|| {
        format!(
            "{} registrations of the spool are set aside and not published (see `nidbridge causes spool_corrupt`): {}",
            names.len(),
            named.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_names_the_first_files_with_their_reasons_and_counts_all() {
        let names: Vec<String> = (0..7).map(|number| format!("{number}.corrupt")).collect();
        let reasons = [("1.corrupt".to_owned(), "changed".to_owned())].into();
        assert_eq!(notice(&[], &reasons), None);
        let text = notice(&names, &reasons).unwrap();
        assert!(text.starts_with("7 registrations"), "{text}");
        assert!(text.contains("0.corrupt: set aside by an earlier process"), "{text}");
        assert!(text.contains("1.corrupt: changed; ") && text.ends_with("; and 2 more"), "{text}");
    }
}
