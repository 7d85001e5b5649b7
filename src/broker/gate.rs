//! The gate of a link: at each connect, a message that a queue of the broker retains decides
//! whether this process may use the vhost.
//!
//! An exclusive queue serves as a lock, so that one process at a time reads and replaces the
//! retained message.
//!
//! Invariant: a link that is refused is never connected, so it publishes and consumes nothing. The
//! broker confirms the new retained message before the old one is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Confirmation, Connection, ErrorKind};

use super::error::{BrokerError, PublishError};
use super::message::{Outgoing, RawMessage};
use super::short::short;

/// Pause between two attempts to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// AMQP reply code: another connection has the exclusive queue.
const RESOURCE_LOCKED: u16 = 405;

/// The decision about this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Admit,
    /// Admit the process, and replace the retained message by this one.
    Retain(Vec<u8>),
    /// The process does not belong here. The text says why, and what to do.
    Refuse(String),
}

/// Decides whether this process may use the vhost.
pub trait Admission: Send + Sync {
    /// `retained` is the body of the retained message, or `None` if there is none yet.
    fn decide(&self, retained: Option<&[u8]>) -> Verdict;
}

/// The gate of a link. It is passed at each connect, after the topology was declared or checked.
#[derive(Clone)]
pub struct Gate {
    /// The queue of the retained message, which is part of the topology.
    pub queue: &'static str,
    /// AMQP `type` of the retained message.
    pub kind: &'static str,
    pub admission: Arc<dyn Admission>,
}

impl Gate {
    /// # Errors
    /// [`BrokerError::NotAdmitted`] if the process does not belong here.
    pub(super) async fn pass(&self, connection: &Connection, user: &str) -> Result<(), BrokerError> {
        let lock = self.lock(connection).await?;
        let verdict = self.exchange(connection, user).await;
        lock.queue_delete(short(&self.lock_name(), "the queue's name")?, QueueDeleteOptions::default())
            .await?;
        lock.close(200, ShortString::default()).await?;
        verdict
    }

    fn lock_name(&self) -> String {
        format!("{}.lock", self.queue)
    }

    /// Waits until no other process has the lock. The caller's time limit applies.
    async fn lock(&self, connection: &Connection) -> Result<Channel, BrokerError> {
        loop {
            let channel = connection.create_channel().await?;
            let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
            let name = short(&self.lock_name(), "the queue's name")?;
            match channel.queue_declare(name, options, FieldTable::default()).await {
                Ok(_) => return Ok(channel),
                Err(cause) if is_locked(&cause) => {
                    tokio::time::sleep(LOCK_PAUSE.mul_f64(0.5 + fastrand::f64())).await;
                }
                Err(cause) => return Err(cause.into()),
            }
        }
    }

    async fn exchange(&self, connection: &Connection, user: &str) -> Result<(), BrokerError> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        // If a process died after it stored a message and before it acknowledged the old one, there
        // is more than one. The newest counts.
        let mut newest: Option<BasicGetMessage> = None;
        while let Some(got) =
            channel.basic_get(short(self.queue, "the queue's name")?, BasicGetOptions::default()).await?
        {
            newest = Some(got);
        }
        let retained = newest.as_ref().map(|got| got.delivery.data.as_slice());
        let verdict = self.admission.decide(retained);
        let body = match &verdict {
            Verdict::Retain(body) => Some(body.as_slice()),
            Verdict::Admit | Verdict::Refuse(_) => retained,
        };
        if let Some(body) = body {
            self.store(&channel, user, body.to_vec()).await?;
        }
        if let Some(got) = &newest {
            got.delivery.acker.ack(BasicAckOptions { multiple: true }).await?;
        }
        channel.close(200, ShortString::default()).await?;
        match verdict {
            Verdict::Admit | Verdict::Retain(_) => Ok(()),
            Verdict::Refuse(why) => Err(BrokerError::NotAdmitted(why)),
        }
    }

    async fn store(&self, channel: &Channel, user: &str, body: Vec<u8>) -> Result<(), BrokerError> {
        let raw = RawMessage::from(Outgoing {
            id: self.queue.to_owned(),
            kind: self.kind,
            content_type: "application/json",
            correlation_id: None,
            headers: std::collections::BTreeMap::new(),
            body,
        });
        let properties = raw
            .properties(env!("CARGO_PKG_NAME"), Some(user), Timestamp::now())
            .map_err(|fault| BrokerError::NotRetained(PublishError::NotSent(fault)))?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let queue = short(self.queue, "the queue's name")?;
        let confirm =
            channel.basic_publish(ShortString::default(), queue, options, &raw.body, properties).await?;
        match confirm.await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => Err(BrokerError::NotRetained(PublishError::Unroutable)),
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                Err(BrokerError::NotRetained(PublishError::Refused))
            }
        }
    }
}

fn is_locked(cause: &lapin::Error) -> bool {
    matches!(cause.kind(), ErrorKind::ProtocolError(answer) if answer.get_id() == RESOURCE_LOCKED)
}
