//! The settings of the bridge and its neighbours: every default duration is divided by twenty.
//!
//! Some durations are longer than that ("a floor"). Two cores run three brokers, a database and the
//! bridge at once, so a timeout of tens of milliseconds would sometimes expire only for want of CPU
//! time, which is not a planned fault.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum as _;
use nidbridge::sandbox::nid::{InvalidReply, VendorSettings};

/// Keys that seal only invented data.
pub const SEAL_KEYS: &str = "chaos:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Seven days divided by twenty, in seconds.
pub const TOKEN_LIFETIME: i64 = 30_240;
/// The value of `CONFIRM_QUARANTINE`.
pub const QUARANTINE: Duration = Duration::from_secs(30);
/// The value of `OPENCRVS_TIMEOUT`.
pub const GATEWAY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How long a delay queue waits for the confirm of the queue to which it moves a message, before it
/// tries again. The default is 180 s. After the loss of a leader, all messages that were being
/// moved are late by this time.
pub const ADVANCED: &str = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 9000}]}].\n";

/// The settings that all processes share. The comment above a setting is its default in production.
pub fn shared() -> BTreeMap<String, String> {
    let settings = [
        ("SEAL_KEYS", SEAL_KEYS),
        // 5s,30s,2m,10m,30m
        ("RETRY_STEPS", "250ms,1500ms,6s,30s,90s"),
        // 1s: a floor, because a cluster confirms a message only after it is on two disks
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
        // 10s: a floor, because the protocol counts whole seconds and a connection ends after two
        // of them
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
        // 1m
        ("SEND_VISIBLE_WITHIN", "3s"),
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

/// The further settings for the events generation.
pub fn events(country_config: &str) -> BTreeMap<String, String> {
    let settings = [
        ("COUNTRY_CONFIG_URL", country_config),
        ("CONFIRM_IDENTIFIER_FIELD", "child.nid"),
        // 10m
        ("CONFIRM_FIELD_RECHECK", "30s"),
        // 1m, 3m
        ("OPENCRVS_UNHEARD_INTERVAL", "3s"),
        ("OPENCRVS_UNHEARD_AFTER", "9s"),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// An ID system with every kind of good and bad behaviour.
pub fn vendor() -> VendorSettings {
    VendorSettings {
        latency_ms: (5, 300),
        reject: 0.08,
        // The end of a record must not depend on which of its submissions reached the ID system.
        reject_for_good: true,
        at_once: 0.1,
        contradict: 0.08,
        mistake: 0.08,
        retry: 0.05,
        pending: 0.1,
        duplicate: 0.1,
        late: 0.04,
        late_by_ms: 4_000,
        garbage: 0.1,
        // These two kinds are well formed and final, so they count if they are processed first.
        // They come by the two shares above instead, for which it is known in advance which records
        // they affect.
        garbage_kinds: InvalidReply::value_variants()
            .iter()
            .copied()
            .filter(|kind| !kind.is_final())
            .collect(),
        ..VendorSettings::default()
    }
}
