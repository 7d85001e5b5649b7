//! The errors of this engine, grouped by what they mean for the message.
//!
//! Invariant: only [`PublishError::NotSent`] says that a message was never sent; after
//! [`PublishError::Unknown`] the message may be stored, and sending it again may create a
//! duplicate.

use lapin::ErrorKind;

use super::short::TooLong;

/// RabbitMQ's reply code for a wrong user or password.
const ACCESS_REFUSED: u16 = 403;
/// RabbitMQ's reply code for a vhost that does not exist or that the user may not use, and for a
/// user or vhost with too many connections.
const NOT_ALLOWED: u16 = 530;

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    #[error("the broker cannot be reached ({0})")]
    Away(String),
    /// The broker accepts nothing from publishers at the moment, usually for lack of memory or
    /// disk.
    #[error("the broker blocks publishers ({0}): check its memory and disk")]
    Blocked(String),
    /// All channels were in use for the whole time limit.
    #[error("no channel became free in time: the broker is slow, or this process has too few channels")]
    NoChannel,
    #[error("the broker opened no channel for publishing")]
    Channel(#[source] Box<lapin::Error>),
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The user of the connection may not publish there.
    #[error("the user may not write to exchange `{exchange}`: grant it write permission")]
    Denied { exchange: String },
}

/// Why it is not known whether a message is stored.
#[derive(Debug, thiserror::Error)]
pub enum Unconfirmed {
    #[error("the broker did not accept the message in time")]
    NotTaken,
    #[error("the broker did not confirm the message in time")]
    Late,
    #[error("publisher confirms are off on the channel")]
    ConfirmsOff,
    /// The channel or the connection failed while the message was in flight.
    #[error("{0}")]
    Connection(#[source] Box<lapin::Error>),
    /// The publishing task ended early, because the runtime shuts down.
    #[error("{0}")]
    Task(#[source] tokio::task::JoinError),
}

/// Why a message is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The message is certainly not stored.
    #[error("not sent: {0}")]
    NotSent(#[source] NotSent),
    /// The message is certainly not stored: no queue takes it.
    #[error("no queue takes it: a queue or a binding is missing, so apply the topology")]
    Unroutable,
    /// The message is certainly not stored: the queue is full.
    #[error(
        "the queue refuses it: it is full, so find out why nobody consumes it; or it has failed, so see the log of RabbitMQ"
    )]
    Refused,
    /// The message may be stored: no answer came in time, or the connection was lost while the
    /// message was in flight.
    #[error("it may or may not be stored: {0}")]
    Unknown(#[source] Unconfirmed),
    /// The message is certainly not stored: it is larger than a message may be.
    #[error("the message is larger than the broker accepts: raise `max_message_size` of RabbitMQ")]
    TooLarge,
}

impl PublishError {
    /// Whether the message may be in a queue although this error was returned.
    pub fn may_be_stored(&self) -> bool {
        match self {
            Self::Unknown(_) => true,
            Self::NotSent(_) | Self::Unroutable | Self::Refused | Self::TooLarge => false,
        }
    }

    /// Whether the same message can succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotSent(NotSent::TooLong(_) | NotSent::Denied { .. }) | Self::TooLarge => false,
            Self::NotSent(
                NotSent::Away(_) | NotSent::Blocked(_) | NotSent::NoChannel | NotSent::Channel(_),
            )
            | Self::Unroutable
            | Self::Refused
            | Self::Unknown(_) => true,
        }
    }

    /// The value of the label `outcome` in metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "not_sent",
            Self::Unroutable => "unroutable",
            Self::Refused => "refused",
            Self::Unknown(_) => "unknown",
            Self::TooLarge => "too_large",
        }
    }
}

/// Why an operation other than publishing failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL is not shown, because it may hold a password.
    #[error("the broker's URL cannot be used: write it as amqp://user:password@host:5672/vhost")]
    Url,
    #[error("the broker cannot be reached ({0})")]
    Away(String),
    #[error(
        "the broker speaks no TLS on this port: write the URL with amqp://, or name the port with TLS (5671)"
    )]
    NoTls(#[source] Box<lapin::Error>),
    #[error("the broker did not answer within {0:?}")]
    Slow(std::time::Duration),
    #[error("the broker differs from the topology: {}", texts(.0))]
    Topology(Vec<super::Difference>),
    #[error("RabbitMQ does not accept the user `{user}` with this password: correct user or password")]
    Login { user: String },
    #[error(
        "RabbitMQ has no vhost `{vhost}`, or the user `{user}` may not use it: create it and grant access, or name another"
    )]
    Vhost { vhost: String, user: String },
    /// See [`Gate`](super::Gate).
    #[error("{0}")]
    NotAdmitted(String),
    #[error("the retained message could not be stored")]
    NotRetained(#[source] PublishError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
    #[error("the broker refused an operation")]
    Refused(#[source] Box<lapin::Error>),
    #[error("`{name}` cannot be declared: {fix}")]
    Declare {
        name: String,
        fix: String,
        /// Whether it is only missing, and not different.
        is_missing: bool,
        #[source]
        cause: Box<lapin::Error>,
    },
}

impl BrokerError {
    /// Why the broker opened no connection for a user.
    pub(super) fn of_login(cause: lapin::Error, user: &str, vhost: &str) -> Self {
        // The broker answered the TLS handshake with something else.
        if let ErrorKind::IOError(io) = cause.kind()
            && let Some(Some(rustls::Error::InvalidMessage(_))) =
                io.get_ref().map(|inner| inner.downcast_ref())
        {
            return Self::NoTls(Box::new(cause));
        }
        let ErrorKind::ProtocolError(answer) = cause.kind() else { return cause.into() };
        let (user, vhost) = (user.to_owned(), vhost.to_owned());
        match answer.get_id() {
            ACCESS_REFUSED => Self::Login { user },
            // `user connection limit (5) is reached` passes when another connection closes.
            NOT_ALLOWED if !answer.get_message().as_str().contains("limit (") => Self::Vhost { vhost, user },
            _ => cause.into(),
        }
    }

    /// Whether the broker refuses a connection until somebody changes the configuration or the
    /// broker. A broker that cannot be reached does not refuse, and neither does one in which
    /// something is still to be declared.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Url | Self::NoTls(_) | Self::Login { .. } | Self::Vhost { .. } | Self::TooLong(_) => true,
            Self::Topology(differences) => differences.iter().any(|one| !one.is_missing),
            Self::Declare { is_missing, .. } => !is_missing,
            Self::Away(_)
            | Self::Slow(_)
            | Self::NotAdmitted(_)
            | Self::NotRetained(_)
            | Self::Refused(_) => false,
        }
    }
}

impl From<lapin::Error> for BrokerError {
    fn from(cause: lapin::Error) -> Self {
        Self::Refused(Box::new(cause))
    }
}

fn texts(differences: &[super::Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The text of an error and of all its causes, in one line. A cause is left out if its text is
/// already in the line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let deeper_text = deeper.to_string();
        if !text.contains(&deeper_text) {
            text.push_str(": ");
            text.push_str(&deeper_text);
        }
        cause = deeper.source();
    }
    text
}
