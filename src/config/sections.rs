//! The sections of the configuration and the settings in each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::reader::{Reader, Setting};
use super::value::Bytes;
use super::{Config, Needs};
use crate::domain::{NegativePolicy, NumberTemplate};
use crate::seal::Sealer;

/// RabbitMQ.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Our own vhost.
    pub url: SecretString,
    /// The vendor's vhost.
    pub nid_url: SecretString,
    /// A broker that is silent for twice as long is away.
    pub heartbeat: Duration,
    /// The limit for one publish with its confirm.
    pub publish_timeout: Duration,
    /// How many messages can be under way at once.
    pub channels: u16,
    /// How many messages a stage handles at once.
    pub prefetch: u16,
    /// The delays of retries.
    pub retry_steps: Vec<Duration>,
    /// How many messages a queue holds.
    pub max_length: u64,
    /// How often the broker itself delivers one message.
    pub delivery_limit: u32,
    /// Whether a process declares the topology.
    pub apply_topology: bool,
    /// How long what is held may take to finish after SIGTERM.
    pub drain: Duration,
    /// The longest pause between two tries to connect.
    pub reconnect_max: Duration,
}

/// The ledger.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
    /// Where it is.
    pub url: SecretString,
    /// Connections per process.
    pub connections: u32,
    /// How long to wait for one.
    pub timeout: Duration,
}

/// The HTTP front.
#[derive(Debug, Clone)]
pub struct FrontConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The longest body, in bytes.
    pub max_body: usize,
    /// How many bytes of bodies are held at once.
    pub body_memory: usize,
    /// How long a request waits for a broker that is away.
    pub hold: Duration,
    /// Where the last good public key is kept.
    pub key_cache: Option<PathBuf>,
}

/// How OpenCRVS is reached.
#[derive(Debug, Clone)]
pub struct OpencrvsConfig {
    /// The auth service.
    pub auth_url: Url,
    /// The gateway.
    pub gateway_url: Url,
    /// The limit for a request.
    pub timeout: Duration,
    /// The limit for a connection.
    pub connect_timeout: Duration,
    /// The shortest pause between two fetches of the public key.
    pub key_refetch: Duration,
}

/// The National ID side.
#[derive(Debug, Clone)]
pub struct NidConfig {
    /// CloudEvents `source` of requests.
    pub source: String,
    /// The longest reply that is read, in bytes.
    pub reply_max_bytes: usize,
    /// The vendor's user on the broker, for `topology print`.
    pub vendor_user: String,
    /// The vendor's password, for `topology print`.
    pub vendor_password: Option<SecretString>,
}

/// How OpenCRVS is told.
#[derive(Debug, Clone)]
pub struct ConfirmConfig {
    /// Nothing is written sooner after our answer.
    pub delay: Duration,
    /// How long a write may still arrive whose end is not known.
    pub quarantine: Duration,
    /// How long a lease lasts.
    pub lease: Duration,
    /// What to do with a negative answer.
    pub negative: NegativePolicy,
    /// How many records are confirmed at once.
    pub prefetch: u16,
    /// The identifier type of the ID.
    pub identifier_type: String,
    /// The comment after a negative answer.
    pub comment: String,
}

/// Registration numbers.
#[derive(Debug, Clone)]
pub struct NumberConfig {
    /// How they are made.
    pub template: NumberTemplate,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Text,
}

/// Logs and traces.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// The form of log lines.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_filter: String,
    /// Where spans go; none: nowhere.
    pub otlp_endpoint: Option<Url>,
    /// The name that spans go under.
    pub service_name: String,
}

/// The listener for operators.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Where it listens.
    pub listen: SocketAddr,
}

pub(super) fn read(r: &mut Reader<'_>, needs: Needs) -> Option<Config> {
    let (broker, ledger, seal_keys) = (broker(r), ledger(r), seal_keys(r, needs));
    let (front, (opencrvs, timeout), nid) = (front(r), opencrvs(r), nid(r));
    let (confirm, number) = (confirm(r, timeout), number(r));
    let (telemetry, admin) = (telemetry(r), admin(r));
    Some(Config {
        broker: broker?,
        ledger: ledger?,
        seal_keys: seal_keys?,
        front: front?,
        opencrvs: opencrvs?,
        nid: nid?,
        confirm: confirm?,
        number: number?,
        telemetry: telemetry?,
        admin: admin?,
    })
}

#[expect(clippy::too_many_lines, reason = "a table of settings")]
fn broker(r: &mut Reader<'_>) -> Option<BrokerConfig> {
    let url = r.get(
        Setting::new(
            "broker.url",
            "AMQP_URL",
            "amqp://guest:guest@localhost:5672/nidbridge",
            "our own vhost",
        )
        .secret(),
    );
    let nid_url = r.get(
        Setting::new(
            "broker.nid_url",
            "NID_AMQP_URL",
            "amqp://guest:guest@localhost:5672/nid",
            "the vendor's vhost",
        )
        .secret(),
    );
    let heartbeat = r.get(Setting::new(
        "broker.heartbeat",
        "BROKER_HEARTBEAT",
        "10s",
        "a broker silent for twice as long is away",
    ));
    let publish_timeout = r.get(Setting::new(
        "broker.publish_timeout",
        "PUBLISH_TIMEOUT",
        "1s",
        "limit of one publish with its confirm",
    ));
    let channels =
        r.get(Setting::new("broker.channels", "BROKER_CHANNELS", "64", "messages under way at once"));
    let prefetch =
        r.get(Setting::new("broker.prefetch", "PREFETCH", "32", "messages that a stage handles at once"));
    let retry_steps = r.get(Setting::new(
        "broker.retry_steps",
        "RETRY_STEPS",
        "5s,30s,2m,10m,30m",
        "delays of retries; the last repeats",
    ));
    let max_length = r.get(Setting::new(
        "broker.max_length",
        "QUEUE_MAX_LENGTH",
        "1000000",
        "messages that a queue holds before it refuses more",
    ));
    let delivery_limit = r.get(Setting::new(
        "broker.delivery_limit",
        "DELIVERY_LIMIT",
        "50",
        "deliveries by the broker itself before a message is parked",
    ));
    let apply_topology = r.get(Setting::new(
        "broker.apply_topology",
        "APPLY_TOPOLOGY",
        "true",
        "declare exchanges and queues at start",
    ));
    let drain =
        r.get(Setting::new("broker.drain", "DRAIN", "25s", "time to finish what is held after SIGTERM"));
    let reconnect_max = r.get(Setting::new(
        "broker.reconnect_max",
        "RECONNECT_MAX",
        "5s",
        "longest pause between two tries to connect",
    ));
    Some(BrokerConfig {
        url: url?,
        nid_url: nid_url?,
        heartbeat: heartbeat?,
        publish_timeout: publish_timeout?,
        channels: channels?,
        prefetch: prefetch?,
        retry_steps: retry_steps?,
        max_length: max_length?,
        delivery_limit: delivery_limit?,
        apply_topology: apply_topology?,
        drain: drain?,
        reconnect_max: reconnect_max?,
    })
}

fn ledger(r: &mut Reader<'_>) -> Option<LedgerConfig> {
    let url = r.get(
        Setting::new("ledger.url", "LEDGER_URL", "sqlite:nidbridge.db", "sqlite:<path> or postgres://…")
            .secret(),
    );
    let connections = r.get(Setting::new(
        "ledger.connections",
        "LEDGER_CONNECTIONS",
        "10",
        "connections per process (PostgreSQL)",
    ));
    let timeout =
        r.get(Setting::new("ledger.timeout", "LEDGER_TIMEOUT", "10s", "longest wait for the ledger"));
    Some(LedgerConfig { url: url?, connections: connections?, timeout: timeout? })
}

fn seal_keys(r: &mut Reader<'_>, needs: Needs) -> Option<SecretString> {
    let setting = Setting::optional(
        "seal.keys",
        "SEAL_KEYS",
        "`id:base64[,id:base64…]`, 32 bytes each; the first seals, all open",
    )
    .secret();
    let keys = r.get::<SecretString>(setting);
    match (&keys, needs) {
        (Some(given), _) => {
            if let Err(fault) = Sealer::parse(given) {
                r.fault_of(&setting, &fault.to_string());
            }
        }
        (None, Needs::Role) => {
            r.fault_of(&setting, "it has to be given: id:base64 of 32 bytes (`openssl rand -base64 32`)");
        }
        (None, Needs::NoSeal) => {}
    }
    Some(keys.unwrap_or_default())
}

fn front(r: &mut Reader<'_>) -> Option<FrontConfig> {
    let listen =
        r.get(Setting::new("front.listen", "FRONT_LISTEN", "0.0.0.0:3040", "where the front listens"));
    let max_body = r.get::<Bytes>(Setting::new(
        "front.max_body",
        "FRONT_MAX_BODY",
        "50MiB",
        "longest body (core sends up to 50 MiB)",
    ));
    let body_memory = r.get::<Bytes>(Setting::new(
        "front.body_memory",
        "FRONT_BODY_MEMORY",
        "256MiB",
        "bytes of bodies that are held at once; more wait",
    ));
    let hold = r.get(Setting::new(
        "front.hold",
        "FRONT_HOLD",
        "15s",
        "how long a request waits for a broker that is away",
    ));
    let key_cache = r.get(Setting::optional(
        "front.key_cache",
        "FRONT_KEY_CACHE",
        "file that keeps auth's last good public key",
    ));
    Some(FrontConfig {
        listen: listen?,
        max_body: max_body?.0,
        body_memory: body_memory?.0,
        hold: hold?,
        key_cache,
    })
}

/// The section, and its timeout for the sections that are checked against it.
fn opencrvs(r: &mut Reader<'_>) -> (Option<OpencrvsConfig>, Option<Duration>) {
    let auth_url = r.get(Setting::new("opencrvs.auth_url", "AUTH_URL", "http://auth:4040", "OpenCRVS auth"));
    let gateway_url = r.get(
        Setting::new("opencrvs.gateway_url", "GATEWAY_URL", "http://gateway:7070", "OpenCRVS gateway")
            .alias("OPENCRVS_GATEWAY_URL"),
    );
    let timeout = r.get(Setting::new("opencrvs.timeout", "OPENCRVS_TIMEOUT", "30s", "limit of a request"));
    let connect_timeout = r.get(Setting::new(
        "opencrvs.connect_timeout",
        "OPENCRVS_CONNECT_TIMEOUT",
        "5s",
        "limit of a connection",
    ));
    let key_refetch = r.get(Setting::new(
        "opencrvs.key_refetch",
        "KEY_REFETCH",
        "5s",
        "shortest pause between two fetches of auth's public key",
    ));
    let section = || {
        Some(OpencrvsConfig {
            auth_url: auth_url?,
            gateway_url: gateway_url?,
            timeout: timeout?,
            connect_timeout: connect_timeout?,
            key_refetch: key_refetch?,
        })
    };
    (section(), timeout)
}

fn nid(r: &mut Reader<'_>) -> Option<NidConfig> {
    let source =
        r.get(Setting::new("nid.source", "NID_SOURCE", "/nidbridge", "who asks (CloudEvents `source`)"));
    let reply_max = r.get::<Bytes>(Setting::new(
        "nid.reply_max_bytes",
        "NID_REPLY_MAX_BYTES",
        "64KiB",
        "longest reply that is read",
    ));
    let vendor_user = r.get(Setting::new(
        "nid.vendor_user",
        "NID_VENDOR_USER",
        "vendor",
        "the vendor's user, for `topology print`",
    ));
    let vendor_password = r.get(
        Setting::optional("nid.vendor_password", "NID_VENDOR_PASSWORD", "its password, for `topology print`")
            .secret(),
    );
    Some(NidConfig {
        source: source?,
        reply_max_bytes: reply_max?.0,
        vendor_user: vendor_user?,
        vendor_password,
    })
}

fn confirm(r: &mut Reader<'_>, timeout: Option<Duration>) -> Option<ConfirmConfig> {
    let delay = r.get(Setting::new(
        "confirm.delay",
        "CONFIRM_DELAY",
        "2s",
        "nothing is written to OpenCRVS sooner after our own answer",
    ));
    let quarantine = r.get(Setting::new(
        "confirm.quarantine",
        "CONFIRM_QUARANTINE",
        "10m",
        "how long a write may still arrive whose end is not known",
    ));
    let lease_setting = Setting::new(
        "confirm.lease",
        "CONFIRM_LEASE",
        "90s",
        "lease on a record; longer than two requests to OpenCRVS",
    );
    let lease = r.get::<Duration>(lease_setting);
    if let (Some(lease), Some(timeout)) = (lease, timeout)
        && lease <= timeout * 2
    {
        r.fault_of(
            &lease_setting,
            "it must be longer than twice OPENCRVS_TIMEOUT, or a lease ends while its write runs",
        );
    }
    let negative = r.get(Setting::new(
        "confirm.negative",
        "CONFIRM_NEGATIVE",
        "hold",
        "a negative answer: `hold` the record and alarm, or `confirm_with_comment`",
    ));
    let prefetch =
        r.get(Setting::new("confirm.prefetch", "CONFIRM_PREFETCH", "16", "records confirmed at once"));
    let identifier_type = r.get(Setting::new(
        "confirm.identifier_type",
        "CONFIRM_IDENTIFIER_TYPE",
        "NATIONAL_ID",
        "identifier type of the ID",
    ));
    let comment = r.get(Setting::new(
        "confirm.comment",
        "CONFIRM_COMMENT",
        "Registered without a National ID: the National ID system refused",
        "comment of `confirm_with_comment`; the reason's code is added",
    ));
    Some(ConfirmConfig {
        delay: delay?,
        quarantine: quarantine?,
        lease: lease?,
        negative: negative?,
        prefetch: prefetch?,
        identifier_type: identifier_type?,
        comment: comment?,
    })
}

fn number(r: &mut Reader<'_>) -> Option<NumberConfig> {
    let setting = Setting::new(
        "number.template",
        "NUMBER_TEMPLATE",
        "{year}{tracking_id}",
        "registration number; `{year}`, `{tracking_id}`, `{event}`, `{office}`",
    );
    let text = r.get::<String>(setting)?;
    match NumberTemplate::parse(&text) {
        Ok(template) => Some(NumberConfig { template }),
        Err(fault) => {
            r.fault_of(&setting, &fault.to_string());
            None
        }
    }
}

fn telemetry(r: &mut Reader<'_>) -> Option<TelemetryConfig> {
    let log_format = r.get(Setting::new("telemetry.log_format", "LOG_FORMAT", "json", "`json` or `text`"));
    let log_filter = r.get(Setting::new(
        "telemetry.log_filter",
        "LOG_FILTER",
        "info",
        "what is logged, as in `info,nidbridge=debug`",
    ));
    let otlp_endpoint = r.get(Setting::optional(
        "telemetry.otlp_endpoint",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTLP/HTTP collector, such as http://collector:4318; none: no traces",
    ));
    let service_name =
        r.get(Setting::new("telemetry.service_name", "OTEL_SERVICE_NAME", "nidbridge", "name in traces"));
    Some(TelemetryConfig {
        log_format: log_format?,
        log_filter: log_filter?,
        otlp_endpoint,
        service_name: service_name?,
    })
}

fn admin(r: &mut Reader<'_>) -> Option<AdminConfig> {
    let listen = r.get(Setting::new(
        "admin.listen",
        "ADMIN_LISTEN",
        "0.0.0.0:9040",
        "/metrics, /livez and /readyz of this process",
    ));
    Some(AdminConfig { listen: listen? })
}
