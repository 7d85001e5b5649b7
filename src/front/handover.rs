//! Handing a registration over: to the broker, or, while the broker takes nothing, to the spool.
//!
//! Invariant: it ends well only when the broker has confirmed or the spool is durable. Only what was certainly not
//! sent is tried again here; what may be stored may be spooled, because a repeat of an attempt is known by its id.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Front, Refusal};
use crate::broker::{NotSent, Outgoing, PublishError, Publisher};
use crate::pipeline::{RegistrationMessage, targets};

/// Between two tries: a broker that is there can refuse at once, and would be asked again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Why one try came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandoverFault {
    /// The broker.
    #[error(transparent)]
    Broker(#[from] PublishError),
    /// The message itself.
    #[error("the message cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Where a registration is safe.
#[derive(Debug, Clone, Copy)]
pub(super) enum Safe {
    /// The broker has it, and may have had it from this moment on.
    Published(Instant),
    /// The spool has it. Nobody is held for the answer of what the broker does not even have.
    Spooled,
}

/// Hands over; the acceptance counts from the try that succeeds, because OpenCRVS is answered right after it.
pub(super) async fn hand_over(front: &Front, mut message: RegistrationMessage) -> Result<Safe, Refusal> {
    let fault = match held(front, &mut message).await {
        Ok(since) => return Ok(Safe::Published(since)),
        Err(HandoverFault::Broker(fault)) => fault,
        Err(HandoverFault::Json(_)) => return Err(Refusal::Internal),
    };
    match &front.spool {
        Some(spool) if can_be_taken_later(&fault) => {
            message.registration.wait = Duration::ZERO;
            spool.store(message).await?;
            Ok(Safe::Spooled)
        }
        Some(_) | None if fault.may_be_stored() => Err(Refusal::Unconfirmed(fault)),
        Some(_) | None => Err(Refusal::BrokerAway),
    }
}

/// Publishes once it can; tries again only what was certainly not sent, as long as the caller is held.
async fn held(front: &Front, message: &mut RegistrationMessage) -> Result<Instant, HandoverFault> {
    let mut deadline = Instant::now() + front.limits.hold;
    loop {
        message.registration.accepted_at = Timestamp::now();
        let since = Instant::now();
        let fault = match publish(&front.publisher, message).await {
            Ok(()) => {
                if let Some(spool) = &front.spool {
                    spool.broker_took();
                }
                return Ok(since);
            }
            Err(HandoverFault::Broker(fault)) => fault,
            Err(fault @ HandoverFault::Json(_)) => return Err(fault),
        };
        tracing::warn!(error = %fault, "the broker did not confirm");
        match &fault {
            PublishError::NotSent(
                NotSent::Away(_) | NotSent::Blocked(_) | NotSent::NoChannel | NotSent::Channel(_),
            ) => {}
            PublishError::NotSent(NotSent::TooLong(_) | NotSent::Denied { .. })
            | PublishError::Unroutable
            | PublishError::Refused
            | PublishError::TooLarge
            | PublishError::Unknown(_) => return Err(fault.into()),
        }
        // With a spool, nobody is held for longer than the broker has been away: the disk is no worse now than then.
        if let Some(spool) = &front.spool {
            deadline = deadline.min(spool.broker_failed() + front.limits.hold);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        tokio::time::sleep(PAUSE.min(left)).await;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !front.publisher.available(left).await {
            return Err(fault.into());
        }
    }
}

/// One try.
pub(super) async fn publish(
    publisher: &Publisher,
    message: &RegistrationMessage,
) -> Result<(), HandoverFault> {
    let key = &message.registration.key;
    let outgoing = Outgoing {
        id: key.id().to_string(),
        kind: "registration.v1",
        content_type: "application/json",
        correlation_id: Some(key.record.to_string()),
        headers: BTreeMap::new(),
        body: serde_json::to_vec(message)?,
    };
    Ok(publisher.publish(&targets::registrations(), outgoing).await?)
}

/// Whether the broker can take the same message when it, or its set-up, is well again.
pub(super) fn can_be_taken_later(fault: &PublishError) -> bool {
    match fault {
        PublishError::TooLarge | PublishError::NotSent(NotSent::TooLong(_)) => false,
        PublishError::NotSent(
            NotSent::Away(_)
            | NotSent::Blocked(_)
            | NotSent::NoChannel
            | NotSent::Channel(_)
            | NotSent::Denied { .. },
        )
        | PublishError::Unroutable
        | PublishError::Refused
        | PublishError::Unknown(_) => true,
    }
}
