//! What the bridge and its neighbours are told: every duration of the product divided by twenty.
//!
//! Where a floor stands instead, two cores carry three brokers, a database and the bridge at once,
//! and what is measured in tens of milliseconds there is starved now and then, which is no fault
//! that anybody planned.

use std::collections::BTreeMap;
use std::time::Duration;

use nidbridge::sandbox::nid::{Garbage, Rejects, VendorSettings};

/// Keys that seal nothing but what is made up.
pub const SEAL_KEYS: &str = "chaos:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Seven days by twenty, in seconds.
pub const TOKEN_LIFETIME: i64 = 30_240;
/// `OPENCRVS_TIMEOUT`.
pub const GATEWAY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How long a delay queue waits for the confirm of the queue that it gives a message to, before it
/// tries again: 180 s. After the loss of a leader everything that was under way there is as late as
/// that.
pub const ADVANCED: &str = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 9000}]}].\n";

/// The settings that all processes share.
pub fn shared() -> BTreeMap<String, String> {
    let settings = [
        ("SEAL_KEYS", SEAL_KEYS),
        // 5s,30s,2m,10m,30m
        ("RETRY_STEPS", "250ms,1500ms,6s,30s,90s"),
        // 1s: a floor, for a cluster confirms after two disks have it
        ("PUBLISH_TIMEOUT", "1s"),
        // 2s
        ("CONFIRM_DELAY", "100ms"),
        // 60s
        ("CONFIRM_LEASE", "3s"),
        // 10m
        ("CONFIRM_QUARANTINE", "30s"),
        // 30s
        ("OPENCRVS_TIMEOUT", "1500ms"),
        // 5s: a floor
        ("OPENCRVS_CONNECT_TIMEOUT", "500ms"),
        // 5s
        ("OPENCRVS_KEY_REFETCH", "250ms"),
        // 10s: a floor, the protocol counts in whole seconds and gives up after two
        ("BROKER_HEARTBEAT", "2s"),
        // 25s: a floor
        ("BROKER_DRAIN", "3s"),
        // 3m
        ("BROKER_HANDLING", "9s"),
        // 5s
        ("BROKER_RECONNECT_MAX", "250ms"),
        // 15s
        ("FRONT_HOLD", "750ms"),
        // 30s: a floor
        ("FRONT_BODY_TIMEOUT", "5s"),
        // 5s, 1m
        ("BREAKER_PAUSE", "250ms"),
        ("BREAKER_PAUSE_MAX", "3s"),
        // 7d, 24h
        ("NID_DEADLINE", "30240s"),
        ("NID_RESEND_AFTER", "72m"),
        // 60s, 5m, 24h, 30d
        ("SWEEP_INTERVAL", "3s"),
        ("SWEEP_MARGIN", "15s"),
        ("SWEEP_EXPIRING", "72m"),
        ("RETENTION_SEALED", "36h"),
        ("TOKEN_INTERVAL", "3s"),
        ("TOKEN_RENEW_UNTIL", "36h"),
        ("LOG_FORMAT", "json"),
        ("LOG_FILTER", "info,nidbridge=debug,lapin=off"),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What is set on top of that where the events generation is served.
pub fn events(country_config: &str) -> BTreeMap<String, String> {
    let settings = [
        ("COUNTRY_CONFIG_URL", country_config),
        ("CONFIRM_IDENTIFIER_FIELD", "child.nid"),
        // 10m
        ("CONFIRM_FIELD_RECHECK", "30s"),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// An ID system with something of every manner and bad manner.
pub fn vendor() -> VendorSettings {
    VendorSettings {
        latency_min: Duration::from_millis(5),
        latency_max: Duration::from_millis(300),
        reject: 0.08,
        // So that the end of a record does not depend on which of its submissions got through.
        rejects: Rejects::EveryTime,
        at_once: 0.1,
        contradict: 0.08,
        mistake: 0.08,
        retry: 0.05,
        pending: 0.1,
        duplicate: 0.1,
        late: 0.04,
        late_by: Duration::from_secs(4),
        garbage: 0.1,
        // Well formed and final, these count where they are taken in first; they come by the two
        // shares above, of which it is known beforehand whom they fall on.
        garbage_kinds: Garbage::ALL
            .into_iter()
            .filter(|kind| !matches!(kind, Garbage::Contradiction | Garbage::IdOfAnother))
            .collect(),
        ..VendorSettings::default()
    }
}
