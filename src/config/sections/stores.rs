//! Settings of the broker and the ledger, and of what is sealed in them.

use std::time::Duration;

use secrecy::SecretString;

use crate::config::forms::{AmqpUrl, Keys, LedgerUrl, Positive, Span, Steps, Switch};
use crate::config::setting::settings;

settings! {
    /// RabbitMQ.
    pub struct BrokerConfig in "broker" {
        /// RabbitMQ with user, password and the bridge's own vhost. Several hosts are separated by
        /// commas (`amqps://user:password@mq1,mq2:5671/nidbridge`): each process connects to one of
        /// them at random, and to the next one when that fails.
        url: SecretString, AmqpUrl, "amqp://guest:guest@localhost:5672/nidbridge", ["AMQP_URL"];
        /// RabbitMQ with user, password and the vhost of the queue contract with the National ID
        /// system.
        nid_url: SecretString, AmqpUrl, "amqp://guest:guest@localhost:5672/nid", ["NID_AMQP_URL"];
        /// Interval of AMQP heartbeats, by which either side notices a dead connection.
        heartbeat: Duration, Span, "10s", ["BROKER_HEARTBEAT"];
        /// Timeout of one publish, including the broker's confirm.
        publish_timeout: Duration, Span, "1s", ["PUBLISH_TIMEOUT"];
        /// Messages that one process publishes at the same time. Each uses a channel of its own.
        channels: u16, Positive<u16>, "64", ["BROKER_CHANNELS"];
        /// Prefetch: messages that one stage of one process handles at the same time.
        prefetch: u16, Positive<u16>, "32", ["BROKER_PREFETCH"];
        /// Delays before each retry of a message. The last one is repeated.
        retry_steps: Vec<Duration>, Steps, "5s,30s,2m,10m,30m", ["RETRY_STEPS"];
        /// Maximum length of a queue in messages. A full queue refuses what is published to it.
        max_length: u64, Positive<u64>, "1000000", ["BROKER_MAX_LENGTH"];
        /// Deliveries after which the broker itself parks a message that no consumer settles.
        delivery_limit: u32, Positive<u32>, "50", ["BROKER_DELIVERY_LIMIT"];
        /// Whether each process declares exchanges and queues when it connects.
        apply_topology: bool, Switch, "true", ["BROKER_APPLY_TOPOLOGY"];
        /// Time that a process has, once told to stop, to finish what it is handling.
        drain: Duration, Span, "25s", ["BROKER_DRAIN"];
        /// Timeout of handling one message; the message is then delayed. Keep it longer than any
        /// call to OpenCRVS and shorter than the broker's consumer timeout (30 min).
        handling: Duration, Span, "3m", ["BROKER_HANDLING"];
        /// Longest pause between two attempts to connect to the broker.
        reconnect_max: Duration, Span, "5s", ["BROKER_RECONNECT_MAX"];
    }
}

settings! {
    /// The ledger.
    pub struct LedgerConfig in "ledger" {
        /// Database of the ledger: SQLite for one machine, PostgreSQL for more. Worker and
        /// confirmer share it; if they run as processes of their own, they need this setting.
        url: SecretString, LedgerUrl, "sqlite://nidbridge.db", ["LEDGER_URL"];
        /// Maximum number of database connections of one process.
        connections: u32, Positive<u32>, "8", ["LEDGER_CONNECTIONS"];
    }
}

settings! {
    /// Sealing of tokens and personal data at rest.
    pub struct SealConfig in "seal" {
        /// Keys that seal tokens and personal data. The first one seals, all of them open. Front,
        /// worker and confirmer need the same keys.
        keys: SecretString, Keys, "", ["SEAL_KEYS"];
    }
}

settings! {
    /// Retention of what is sealed.
    pub struct RetentionConfig in "retention" {
        /// Time after the end of a registration at which its token, personal data and ID are
        /// erased.
        sealed: Duration, Span, "30d", ["RETENTION_SEALED"];
    }
}
