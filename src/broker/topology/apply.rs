//! Declares a topology on a broker, or compares the broker with it.
//!
//! Invariant: declaring is idempotent and never deletes; each difference is reported with its fix.
//! The broker closes the channel with every refusal, so each comparison opens its own channel.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind};

use super::{Argument, Difference, Exchange, ExchangeKind, Queue, Topology};
use crate::broker::error::BrokerError;
use crate::broker::short::short;

const NOT_FOUND: u16 = 404;
const ACCESS_REFUSED: u16 = 403;
const PRECONDITION_FAILED: u16 = 406;

impl Topology {
    /// Declares what is missing.
    pub(in crate::broker) async fn declare(&self, connection: &Connection) -> Result<(), BrokerError> {
        let channel = connection.create_channel().await?;
        for exchange in &self.exchanges {
            let name = short(&exchange.name, "an exchange's name")?;
            declare_exchange(&channel, name, exchange, false)
                .await
                .map_err(|cause| self.refusal(&exchange.name, cause))?;
        }
        for queue in &self.queues {
            let name = short(&queue.name, "a queue's name")?;
            declare_queue(&channel, name, queue, false)
                .await
                .map_err(|cause| self.refusal(&queue.name, cause))?;
        }
        for binding in &self.bindings {
            let bound = channel.queue_bind(
                short(&binding.queue, "a queue's name")?,
                short(&binding.exchange, "an exchange's name")?,
                short(&binding.key, "a routing key")?,
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            bound.await.map_err(|cause| self.refusal(&binding.queue, cause))?;
        }
        Ok(channel.close(200, ShortString::default()).await?)
    }

    /// Finds the exchanges and queues that are missing or have other arguments, without changing
    /// anything. Bindings cannot be read over AMQP; a missing binding shows as an unroutable
    /// message.
    pub(in crate::broker) async fn check(
        &self,
        connection: &Connection,
    ) -> Result<Vec<Difference>, BrokerError> {
        let (mut differences, mut compares) = (Vec::new(), true);
        let exchanges = self.exchanges.iter().map(Item::Exchange);
        for item in exchanges.chain(self.queues.iter().map(Item::Queue)) {
            differences.extend(self.compare(connection, item, &mut compares).await?);
        }
        Ok(differences)
    }

    /// A passive declaration tells whether something exists, but compares no arguments. An active
    /// declaration compares them; it creates nothing here, because the item exists. A user without
    /// configure permission may not declare actively. `compares` then becomes false, and from there
    /// on what exists counts as right.
    async fn compare(
        &self,
        connection: &Connection,
        item: Item<'_>,
        compares: &mut bool,
    ) -> Result<Option<Difference>, BrokerError> {
        let name = short(item.name(), "a name")?;
        let steps: &[bool] = if *compares { &[true, false] } else { &[true] };
        for &passive in steps {
            let channel = connection.create_channel().await?;
            match item.declare(&channel, name.clone(), passive).await {
                Ok(()) => channel.close(200, ShortString::default()).await?,
                Err(cause) if !passive && is_refused(&cause) => *compares = false,
                Err(cause) => {
                    let found = difference(item.name(), &cause, self.how_to_apply);
                    return found.map_or(Err(cause.into()), |found| Ok(Some(found)));
                }
            }
        }
        Ok(None)
    }

    fn refusal(&self, name: &str, cause: lapin::Error) -> BrokerError {
        match difference(name, &cause, self.how_to_apply) {
            Some(Difference { name, fix, is_missing }) => {
                BrokerError::Declare { name, fix, is_missing, cause: Box::new(cause) }
            }
            None => cause.into(),
        }
    }
}

#[derive(Clone, Copy)]
enum Item<'a> {
    Exchange(&'a Exchange),
    Queue(&'a Queue),
}

impl Item<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Exchange(exchange) => &exchange.name,
            Self::Queue(queue) => &queue.name,
        }
    }

    async fn declare(&self, channel: &Channel, name: ShortString, passive: bool) -> Result<(), lapin::Error> {
        match self {
            Self::Exchange(exchange) => declare_exchange(channel, name, exchange, passive).await,
            Self::Queue(queue) => declare_queue(channel, name, queue, passive).await,
        }
    }
}

async fn declare_exchange(
    channel: &Channel,
    name: ShortString,
    exchange: &Exchange,
    passive: bool,
) -> Result<(), lapin::Error> {
    let kind = match exchange.kind {
        ExchangeKind::Direct => lapin::ExchangeKind::Direct,
        ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
        ExchangeKind::Topic => lapin::ExchangeKind::Topic,
    };
    let mut arguments = FieldTable::default();
    if let Some(alternate) = &exchange.alternate {
        arguments.insert("alternate-exchange".into(), AMQPValue::LongString(alternate.as_str().into()));
    }
    let options = ExchangeDeclareOptions { passive, durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name, kind, options, arguments).await
}

async fn declare_queue(
    channel: &Channel,
    name: ShortString,
    queue: &Queue,
    passive: bool,
) -> Result<(), lapin::Error> {
    let mut arguments = FieldTable::default();
    for (key, value) in &queue.arguments {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Argument::Number(number) => AMQPValue::LongLongInt(*number),
            Argument::Flag(flag) => AMQPValue::Boolean(*flag),
        };
        arguments.insert((*key).into(), value);
    }
    let options = QueueDeclareOptions { passive, durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name, options, arguments).await.map(drop)
}

fn is_refused(cause: &lapin::Error) -> bool {
    matches!(cause.kind(), ErrorKind::ProtocolError(answer) if answer.get_id() == ACCESS_REFUSED)
}

/// `None` if the cause says nothing about this item.
fn difference(name: &str, cause: &lapin::Error, how_to_apply: &str) -> Option<Difference> {
    let ErrorKind::ProtocolError(answer) = cause.kind() else { return None };
    let fix = match answer.get_id() {
        NOT_FOUND => format!("is missing: {how_to_apply}"),
        ACCESS_REFUSED => "cannot be declared by this user: grant it configure, write and read, or set \
                           BROKER_APPLY_TOPOLOGY=false for it"
            .to_owned(),
        PRECONDITION_FAILED => format!(
            "has other arguments on the broker ({}): empty and delete it, then {how_to_apply}, or change the \
             configuration to match it",
            answer.get_message()
        ),
        _ => return None,
    };
    Some(Difference { name: name.to_owned(), fix, is_missing: answer.get_id() == NOT_FOUND })
}
