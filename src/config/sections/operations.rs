//! Settings of what operators see: alerts, logs and traces, and the admin listener.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::config::forms::{
    HttpUrl, Listen, LogFilter, LogFormat, LogFormatName, Optional, SecretText, SecretUrl, Span, Text,
};
use crate::config::setting::settings;

settings! {
    /// Alerts: parked, held, expiring, expired, overdue and failing registrations, orphaned IDs,
    /// and refused replies; and processes that cannot do their work.
    pub struct AlertConfig in "alert" {
        /// URL of a webhook to which alerts are posted as JSON. It may hold a secret, so only its
        /// host is shown.
        webhook: Option<SecretString>, Optional<SecretUrl>, "", ["ALERT_WEBHOOK"];
        /// Key that signs each alert: header `x-nidbridge-signature`, `sha256=` and the HMAC of the
        /// body in hexadecimal.
        secret: Option<SecretString>, Optional<SecretText>, "", ["ALERT_SECRET"];
        /// Timeout of one call of the webhook.
        timeout: Duration, Span, "5s", ["ALERT_TIMEOUT"];
        /// URL of an HTTP proxy for the webhook. Variables such as `HTTPS_PROXY` are ignored.
        proxy: Option<SecretString>, Optional<SecretUrl>, "", ["ALERT_PROXY"];
        /// Interval at which a process looks for alerts of other processes, and one worker for
        /// messages that the broker parked. A process sends its own alerts at once.
        interval: Duration, Span, "3s", ["ALERT_INTERVAL"];
        /// Time after which an alert that the webhook does not take is given up.
        give_up_after: Duration, Span, "24h", ["ALERT_GIVE_UP_AFTER"];
    }
}

settings! {
    /// Logs and traces.
    pub struct TelemetryConfig in "telemetry" {
        /// Format of log lines: text for people, json for machines.
        log_format: LogFormat, LogFormatName, "text", ["LOG_FORMAT"];
        /// Filter of log lines. By default it silences what lapin and sqlx log about lost or slow
        /// connections, which the bridge logs itself. Whatever it says, libraries log at info or
        /// above (lapin at error, sqlx at warn or above), because below they print what they carry.
        log_filter: String, LogFilter, "info,lapin=off,sqlx=error", ["LOG_FILTER"];
        /// Base URL of a collector of traces (OTLP over HTTP). Without it no traces are exported.
        otlp_endpoint: Option<Url>, Optional<HttpUrl>, "", ["OTEL_EXPORTER_OTLP_ENDPOINT"];
        /// Service name in traces.
        service_name: String, Text, "nidbridge", ["OTEL_SERVICE_NAME"];
    }
}

settings! {
    /// The admin listener: `/metrics`, `/livez`, `/readyz`.
    pub struct AdminConfig in "admin" {
        /// Address and port on which `/metrics`, `/livez` and `/readyz` are served.
        listen: SocketAddr, Listen, "0.0.0.0:9040", ["ADMIN_LISTEN"];
    }
}
