//! The shape of `src`: which room may import which, and how long a file may be.
//!
//! Invariant: no import runs from a lower room to a higher one, so the rooms have no import cycle.

mod source;

use std::collections::BTreeSet;

use nidbridge::domain::{Cause, alert_cause};

use self::source::source_files;

/// Each room with the rooms that it may import, from the ground up: all of them are on earlier
/// lines.
const ALLOWED: [(&str, &[&str]); 20] = [
    ("domain", &[]),
    ("seal", &["domain"]),
    ("config", &["domain", "seal"]),
    ("telemetry", &["domain", "config"]),
    ("listener", &["telemetry"]),
    // An AMQP engine that knows no queue of ours and could be a crate of its own.
    ("broker", &[]),
    ("ledger", &["domain", "seal"]),
    ("opencrvs", &["domain", "config"]),
    ("nid", &["domain"]),
    ("pipeline", &["domain", "config", "telemetry", "seal", "broker", "ledger", "nid"]),
    (
        "front",
        &["domain", "config", "telemetry", "listener", "seal", "broker", "opencrvs", "nid", "pipeline"],
    ),
    // Only with the feature of that name: the doors of property tests and fuzzers.
    ("inlets", &["broker", "opencrvs", "front"]),
    ("worker", &["domain", "telemetry", "seal", "broker", "ledger", "opencrvs", "nid", "pipeline"]),
    ("confirmer", &["domain", "telemetry", "seal", "broker", "ledger", "opencrvs", "pipeline"]),
    ("alert", &["domain", "telemetry", "broker", "ledger", "pipeline"]),
    ("admin", &["domain", "telemetry", "listener", "broker"]),
    (
        "roles",
        &[
            "domain",
            "seal",
            "config",
            "telemetry",
            "listener",
            "broker",
            "ledger",
            "opencrvs",
            "nid",
            "pipeline",
            "front",
            "worker",
            "confirmer",
            "alert",
            "admin",
        ],
    ),
    (
        "operate",
        &[
            "domain",
            "seal",
            "config",
            "telemetry",
            "broker",
            "ledger",
            "opencrvs",
            "nid",
            "pipeline",
            "front",
            "worker",
            "confirmer",
            "roles",
        ],
    ),
    // Neither `opencrvs` nor `nid`: a simulator that used our own mapping would share its errors.
    (
        "sandbox",
        &["domain", "config", "telemetry", "broker", "ledger", "pipeline", "admin", "roles", "operate"],
    ),
    ("cli", &["config", "roles", "operate", "sandbox"]),
];

#[test]
fn a_room_imports_only_from_the_rooms_below_it() {
    for (line, (room, below)) in ALLOWED.iter().enumerate() {
        let lower: Vec<&str> = ALLOWED[..line].iter().map(|(name, _)| *name).collect();
        for name in *below {
            assert!(lower.contains(name), "{room} may not name {name}: it is not above its line in the list");
        }
    }
    let mut against = BTreeSet::new();
    for file in source_files().iter().filter(|file| file.room() != "lib") {
        let room = file.room();
        let allowed = ALLOWED.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, below)| below);
        for other in file.rooms() {
            let fine =
                other == room || allowed.contains(&other.as_str()) || (room == "main" && other == "cli");
            if !fine {
                against.insert((room.to_owned(), other, file.path.clone()));
            }
        }
    }
    assert!(
        against.is_empty(),
        "these imports (room, imported room, file) are not in the list: {against:#?}"
    );
}

#[test]
fn every_room_is_in_the_list() {
    let rooms: BTreeSet<String> = source_files().iter().map(|file| file.room().to_owned()).collect();
    let known = ALLOWED.iter().map(|(room, _)| *room).chain(["lib", "main"]);
    let unknown: Vec<String> = {
        let known: BTreeSet<&str> = known.collect();
        rooms.into_iter().filter(|room| !known.contains(room.as_str())).collect()
    };
    assert!(unknown.is_empty(), "say in the list what these rooms may import: {unknown:?}");
}

#[test]
fn files_are_short() {
    let mut files: Vec<(usize, String)> =
        source_files().into_iter().map(|file| (file.product_lines, file.path)).collect();
    files.sort();
    let at = |percent: usize| files[(files.len() - 1) * percent / 100].0;
    let longest: Vec<_> = files.iter().rev().take_while(|(lines, _)| *lines > 250).collect();
    eprintln!("{} files: median {}, p90 {}, over 250: {longest:?}", files.len(), at(50), at(90));
    assert!(at(100) <= 400, "over 400 lines: {longest:?}");
    assert!(at(90) <= 250, "the 90th percentile is {} lines: {longest:?}", at(90));
    assert!(at(50) <= 110, "the median is {} lines", at(50));
}

/// An alert without a move of its attempt is raised deep in the ledger. The stage has to count it,
/// too.
#[test]
fn every_cause_that_alerts_is_counted_as_an_alarm() {
    // The stage *resolve* counts each reply that it refuses.
    let refused = [
        Cause::OrphanId,
        Cause::IdOfAnotherRecord,
        Cause::ContradictoryAnswer,
        Cause::DecidedOtherwise,
        Cause::WrongSubmission,
    ];
    let files = source_files();
    let is_counted = |cause: &Cause| {
        let call = format!("alarm(Cause::{cause:?}");
        let call_about = format!(", Cause::{cause:?}, ");
        files.iter().any(|file| {
            let counts =
                |line: &str| line.contains(&call) || line.contains("alarm(") && line.contains(&call_about);
            file.code().lines().any(counts)
        })
    };
    let silent: Vec<&Cause> = Cause::ALL
        .iter()
        .filter(|cause| alert_cause(None, Some(**cause)).is_some() && !refused.contains(*cause))
        .filter(|cause| !is_counted(cause))
        .collect();
    assert!(silent.is_empty(), "these alert without being counted: {silent:?}");
}
