//! The gate of a link: at each connect, a message that a queue of the broker retains decides
//! whether this process may use the vhost.
//!
//! One queue of the gate holds the message. The other one is the lock: a queue with a single active
//! consumer, on which each process waits for one token, so that one process at a time reads and
//! replaces the message. A process that dies with the lock loses it with its connection.
//!
//! Invariant: a link that is refused is never connected, so it publishes and consumes nothing. The
//! broker confirms the new retained message before the old one is acknowledged.

use std::sync::Arc;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Consumer};

use super::error::{BrokerError, PublishError};
use super::message::{Outgoing, RawMessage};
use super::short::short;

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
    /// The queue of the lock ([`Topology::add_lock_queue`](super::Topology::add_lock_queue)).
    pub lock: &'static str,
    /// The direct exchange that both queues are bound to, by their names.
    pub exchange: &'static str,
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
        lock.release().await?;
        verdict
    }

    /// Waits until no other process has the lock. The caller's time limit applies.
    ///
    /// Each process adds a token before it waits for one and removes one afterwards, so there is a
    /// token for every process that waits.
    async fn lock(&self, connection: &Connection) -> Result<Lock, BrokerError> {
        let channel = connection.create_channel().await?;
        let queue = short(self.lock, "the queue's name")?;
        channel.basic_qos(1, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let mut consumer = channel
            .basic_consume(queue.clone(), ShortString::default(), options, FieldTable::default())
            .await?;
        let (exchange, options) =
            (short(self.exchange, "the exchange's name")?, BasicPublishOptions::default());
        channel.basic_publish(exchange, queue, options, &[], BasicProperties::default()).await?;
        match consumer.next().await {
            Some(token) => Ok(Lock { token: token?, channel, _consumer: consumer }),
            None => Err(BrokerError::Away("the broker ended the consumer of the lock".to_owned())),
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
        let (exchange, queue) =
            (short(self.exchange, "the exchange's name")?, short(self.queue, "the queue's name")?);
        let confirm = channel.basic_publish(exchange, queue, options, &raw.body, properties).await?;
        match confirm.await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => Err(BrokerError::NotRetained(PublishError::Unroutable)),
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                Err(BrokerError::NotRetained(PublishError::Refused))
            }
        }
    }
}

/// The only active consumer of the lock's queue.
struct Lock {
    channel: Channel,
    _consumer: Consumer,
    token: Delivery,
}

impl Lock {
    /// Removes one token and lets the next process have the lock.
    async fn release(self) -> Result<(), BrokerError> {
        self.token.acker.ack(BasicAckOptions::default()).await?;
        Ok(self.channel.close(200, ShortString::default()).await?)
    }
}
