//! The settings themselves: a struct for each concern, a line for each setting.
//!
//! Invariant: this is the only place where a setting is named; nothing else reads the environment or the file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::forms::{
    AmqpUrl, HttpUrl, Keys, LedgerUrl, Listen, LogFilter, LogFormat, LogFormatName, Negative, Optional, Path,
    Percent, Positive, SecretText, Size, Span, Steps, Switch, Template, Text, WebhookUrl,
};
use super::setting::settings;
use super::waits::Waits;
use crate::domain::{NegativePolicy, NumberTemplate};

settings! {
    /// RabbitMQ, and how it is used.
    pub struct BrokerConfig in "broker" {
        /// The broker, with the bridge's own vhost.
        url: SecretString, AmqpUrl, "amqp://guest:guest@localhost:5672/nidbridge", ["AMQP_URL"];
        /// The vhost of the queue contract with the National ID system.
        nid_url: SecretString, AmqpUrl, "amqp://guest:guest@localhost:5672/nid", ["NID_AMQP_URL"];
        /// How often either side of a connection shows that it lives.
        heartbeat: Duration, Span, "10s", ["BROKER_HEARTBEAT"];
        /// The time in which it must be known whether the broker has a message.
        publish_timeout: Duration, Span, "1s", ["PUBLISH_TIMEOUT"];
        /// Messages that one process publishes at the same time; each has a channel of its own.
        channels: u16, Positive<u16>, "64", ["BROKER_CHANNELS"];
        /// Messages that a stage works on at the same time.
        prefetch: u16, Positive<u16>, "32", ["BROKER_PREFETCH"];
        /// How long a message waits before each further try; it goes on at the last step.
        retry_steps: Vec<Duration>, Steps, "5s,30s,2m,10m,30m", ["RETRY_STEPS"];
        /// Messages that a queue takes before it refuses more.
        max_length: u64, Positive<u64>, "1000000", ["BROKER_MAX_LENGTH"];
        /// Deliveries after which the broker itself parks a message that is never settled.
        delivery_limit: u32, Positive<u32>, "50", ["BROKER_DELIVERY_LIMIT"];
        /// Whether each process declares exchanges and queues when it connects.
        apply_topology: bool, Switch, "true", ["BROKER_APPLY_TOPOLOGY"];
        /// How long a process that is told to stop may finish what it holds.
        drain: Duration, Span, "25s", ["BROKER_DRAIN"];
        /// How long a stage may work on one message; what never answers is given up then, and the message put off. Longer
        /// than any call to OpenCRVS, shorter than the broker's consumer timeout (30 min).
        handling: Duration, Span, "3m", ["BROKER_HANDLING"];
        /// The longest pause between two tries to reach the broker.
        reconnect_max: Duration, Span, "5s", ["BROKER_RECONNECT_MAX"];
    }
}

settings! {
    /// Where the bridge keeps what it knows.
    pub struct LedgerConfig in "ledger" {
        /// SQLite for one machine, PostgreSQL for more.
        url: SecretString, LedgerUrl, "sqlite://nidbridge.db", ["LEDGER_URL"];
        /// Connections of one process.
        connections: u32, Positive<u32>, "8", ["LEDGER_CONNECTIONS"];
    }
}

settings! {
    /// What rests is sealed with these.
    pub struct SealConfig in "seal" {
        /// The first key seals, every key opens. Front, worker and confirmer need the same.
        keys: SecretString, Keys, "", ["SEAL_KEYS"];
    }
}

settings! {
    /// Where OpenCRVS calls the bridge.
    pub struct FrontConfig in "front" {
        /// Where it listens.
        listen: SocketAddr, Listen, "0.0.0.0:3040", ["FRONT_LISTEN"];
        /// The largest body that is read.
        max_body: usize, Size, "50MiB", ["FRONT_MAX_BODY"];
        /// Memory that all bodies together may take; more callers wait.
        body_memory: usize, Size, "256MiB", ["FRONT_BODY_MEMORY"];
        /// The longest pause within a body before its caller is given up.
        body_timeout: Duration, Span, "30s", ["FRONT_BODY_TIMEOUT"];
        /// How long a registration is held while the broker is away, before it is spooled or answered 503.
        hold: Duration, Span, "15s", ["FRONT_HOLD"];
        /// Where the last good key of OpenCRVS is kept, so that a restart does not need auth.
        key_cache: Option<PathBuf>, Optional<Path>, "", ["FRONT_KEY_CACHE"];
        /// A directory of this front's own, where it keeps registrations on disk while the broker is away.
        spool: Option<PathBuf>, Optional<Path>, "", ["FRONT_SPOOL"];
        /// Whether registrations of the events generation (OpenCRVS 1.9 and 2.x) are taken; needs the spool.
        events: bool, Switch, "false", ["FRONT_EVENTS"];
        /// How long OpenCRVS is held for the answer, which it then gets in the request itself; later than that it is 202, as it
        /// is at once without this. Worker and confirmer are best told the same.
        wait: Waits, Waits, "", ["FRONT_WAIT"];
        /// Registrations that are held so at the same time; what is more is answered 202 at once.
        waiters: u32, Positive<u32>, "1000", ["FRONT_WAITERS"];
        /// How long nothing may move of what is passed on to the country's own service; how long all of it takes is free.
        pass_patience: Duration, Span, "2m", ["FRONT_PASS_PATIENCE"];
        /// Requests that may be passed on at the same time; more are answered 503. Each needs two open files.
        pass_limit: u32, Positive<u32>, "4096", ["FRONT_PASS_LIMIT"];
        /// Bytes that the spool takes before OpenCRVS is answered 503.
        spool_max: usize, Size, "1GiB", ["FRONT_SPOOL_MAX"];
    }
}

settings! {
    /// Where OpenCRVS is.
    pub struct OpencrvsConfig in "opencrvs" {
        /// The auth service.
        auth_url: Url, HttpUrl, "http://auth:4040", ["AUTH_URL", "OPENCRVS_AUTH_URL"];
        /// The gateway.
        gateway_url: Url, HttpUrl, "http://gateway:7070", ["GATEWAY_URL", "OPENCRVS_GATEWAY_URL"];
        /// The country's own configuration service: the front passes on to it what is not ours, the confirmer reads its forms.
        country_config_url: Option<Url>, Optional<HttpUrl>, "",
            ["COUNTRY_CONFIG_URL", "OPENCRVS_COUNTRY_CONFIG_URL"];
        /// The time that one call may take.
        timeout: Duration, Span, "30s", ["OPENCRVS_TIMEOUT"];
        /// The time that a connection may take to open.
        connect_timeout: Duration, Span, "5s", ["OPENCRVS_CONNECT_TIMEOUT"];
        /// The shortest pause between two fetches of the public key.
        key_refetch: Duration, Span, "5s", ["OPENCRVS_KEY_REFETCH"];
    }
}

settings! {
    /// The National ID system.
    pub struct NidConfig in "nid" {
        /// The `source` of the requests: who asks.
        source: String, Text, "/nidbridge", ["NID_SOURCE"];
        /// The largest reply that is read.
        reply_max_bytes: usize, Size, "64KiB", ["NID_REPLY_MAX_BYTES"];
        /// How long an answer is waited for.
        deadline: Duration, Span, "7d", ["NID_DEADLINE"];
        /// How long a request may go without a word from the ID system before it is sent again; `pending` is a word.
        resend_after: Duration, Span, "24h", ["NID_RESEND_AFTER"];
        /// Replies that are worked on at the same time.
        prefetch: u16, Positive<u16>, "32", ["NID_PREFETCH"];
    }
}

settings! {
    /// How OpenCRVS is told.
    pub struct ConfirmConfig in "confirm" {
        /// The pause after the 202, on top of the publish timeout, before OpenCRVS may be written to.
        delay: Duration, Span, "2s", ["CONFIRM_DELAY"];
        /// How long nobody writes a record after a write whose end is not known.
        quarantine: Duration, Span, "10m", ["CONFIRM_QUARANTINE"];
        /// How long one confirmer has a record for itself.
        lease: Duration, Span, "60s", ["CONFIRM_LEASE"];
        /// What is done with a negative answer that this OpenCRVS cannot be told.
        negative: NegativePolicy, Negative, "hold", ["CONFIRM_NEGATIVE"];
        /// Records that are worked on at the same time.
        prefetch: u16, Positive<u16>, "16", ["CONFIRM_PREFETCH"];
        /// The type under which OpenCRVS gets the ID.
        identifier_type: String, Text, "NATIONAL_ID", ["CONFIRM_IDENTIFIER_TYPE"];
        /// The field that gets the ID in the events generation, such as `child.nid`; none gets it if this is empty.
        identifier_field: Option<String>, Optional<Text>, "", ["CONFIRM_IDENTIFIER_FIELD"];
        /// How long it is taken for granted that the country's forms have that field.
        field_recheck: Duration, Span, "10m", ["CONFIRM_FIELD_RECHECK"];
        /// Whether a rejection is told with its reason where OpenCRVS lets us (events generation, 1.9.13 and newer).
        reasons: bool, Switch, "false", ["CONFIRM_REASONS"];
        /// The comment of a confirmation without an ID.
        comment: String, Text, "The National ID system did not issue an ID.", ["CONFIRM_COMMENT"];
    }
}

settings! {
    /// When what the bridge depends on is left alone.
    pub struct BreakerConfig in "breaker" {
        /// So many failures in a row are an outage: what needs it is not consumed until it answers again.
        failures: u32, Positive<u32>, "5", ["BREAKER_FAILURES"];
        /// How long it is left alone before it is probed for the first time.
        pause: Duration, Span, "5s", ["BREAKER_PAUSE"];
        /// How long it is left alone at most.
        pause_max: Duration, Span, "1m", ["BREAKER_PAUSE_MAX"];
    }
}

settings! {
    /// Registration numbers.
    pub struct NumberConfig in "number" {
        /// How they are made.
        template: NumberTemplate, Template, "{year}{tracking_id}", ["NUMBER_TEMPLATE"];
    }
}

settings! {
    /// How registrations that nothing was heard of are looked after.
    pub struct SweepConfig in "sweep" {
        /// How often one worker of all looks.
        interval: Duration, Span, "60s", ["SWEEP_INTERVAL"];
        /// Messages that it publishes again in one turn, at most.
        batch: u32, Positive<u32>, "500", ["SWEEP_BATCH"];
        /// How much longer than the longest delay of a queue a registration may be silent.
        margin: Duration, Span, "5m", ["SWEEP_MARGIN"];
        /// How long before a record token dies an operator is warned.
        expiring: Duration, Span, "24h", ["SWEEP_EXPIRING"];
    }
}

settings! {
    /// How record tokens are kept alive.
    pub struct TokenConfig in "token" {
        /// How often one confirmer of all looks after tokens and after auth's key.
        interval: Duration, Span, "60s", ["TOKEN_INTERVAL"];
        /// How much of a token's life may go, in percent, before it is exchanged for a fresh one.
        renew_at: u8, Percent, "50", ["TOKEN_RENEW_AT"];
        /// How long after its acceptance a registration's token is renewed; after that it runs out.
        renew_until: Duration, Span, "30d", ["TOKEN_RENEW_UNTIL"];
        /// Tokens that are renewed in one turn, at most.
        batch: u32, Positive<u32>, "500", ["TOKEN_BATCH"];
    }
}

settings! {
    /// Calls an operator at once for what is parked, held, expiring, expired, orphaned.
    pub struct AlertConfig in "alert" {
        /// Where alerts are posted as JSON; nowhere without it. The URL may hold a secret and is not shown.
        webhook: Option<SecretString>, Optional<WebhookUrl>, "", ["ALERT_WEBHOOK"];
        /// Signs each body: header `x-nidbridge-signature`, `sha256=` and the HMAC in hexadecimal.
        secret: Option<SecretString>, Optional<SecretText>, "", ["ALERT_SECRET"];
        /// The time that one call may take.
        timeout: Duration, Span, "5s", ["ALERT_TIMEOUT"];
        /// How often a process looks for alerts of others, and one worker for what was parked on the broker; its own it sends at once.
        interval: Duration, Span, "3s", ["ALERT_INTERVAL"];
        /// How long an alert is tried before it is given up.
        give_up_after: Duration, Span, "24h", ["ALERT_GIVE_UP_AFTER"];
    }
}

settings! {
    /// How long what rests sealed is kept.
    pub struct RetentionConfig in "retention" {
        /// After the end of a registration, until its token, personal data and ID are erased.
        sealed: Duration, Span, "30d", ["RETENTION_SEALED"];
    }
}

settings! {
    /// Logs and traces.
    pub struct TelemetryConfig in "telemetry" {
        /// How log lines look.
        log_format: LogFormat, LogFormatName, "text", ["LOG_FORMAT"];
        /// What is logged. What lapin and sqlx say of a lost or slow connection is said once by the bridge itself.
        log_filter: String, LogFilter, "info,lapin=off,sqlx=error", ["LOG_FILTER"];
        /// Where traces go (OTLP over HTTP); none go anywhere without it.
        otlp_endpoint: Option<Url>, Optional<HttpUrl>, "", ["OTEL_EXPORTER_OTLP_ENDPOINT"];
        /// The name under which they go.
        service_name: String, Text, "nidbridge", ["OTEL_SERVICE_NAME"];
    }
}

settings! {
    /// The listener for operators and machines: `/metrics`, `/livez`, `/readyz`.
    pub struct AdminConfig in "admin" {
        /// Where it listens.
        listen: SocketAddr, Listen, "0.0.0.0:9040", ["ADMIN_LISTEN"];
    }
}
