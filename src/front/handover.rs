//! Hands a registration over to the broker or, while the broker is unavailable, to the spool.
//!
//! Invariant: the result is `Ok` only after the broker's confirm, or once the spool has stored the
//! registration durably. Only a publish that was certainly not sent is retried here. A registration
//! that the broker may have stored can still be spooled, because a repeat of an attempt is
//! recognised by its id.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Front, Refusal};
use crate::broker::{NotSent, PublishError, Publisher};
use crate::pipeline::{AdmissionState, Message as _, RegistrationMessage, targets};

/// Pause between two tries, because a broker that is available can refuse at once, again and again.
const PAUSE: Duration = Duration::from_millis(100);

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandoverFault {
    #[error(transparent)]
    Broker(#[from] PublishError),
    #[error("the message cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// What has stored a registration.
#[derive(Debug, Clone, Copy)]
pub(super) enum StoredBy {
    /// The broker. It got the registration at this time or later.
    Broker(Instant),
    /// The spool. The caller does not wait for a sync answer, because the broker does not have the
    /// registration yet.
    Spool,
}

/// Hands a registration over. It counts as accepted at the try that succeeds, because OpenCRVS gets
/// its response right after that.
pub(super) async fn hand_over(front: &Front, mut message: RegistrationMessage) -> Result<StoredBy, Refusal> {
    if matches!(*front.admission.borrow(), AdmissionState::Refused(_)) {
        return Err(Refusal::OtherDeployment);
    }
    let fault = match publish_until_confirmed(front, &mut message).await {
        Ok(since) => return Ok(StoredBy::Broker(since)),
        Err(HandoverFault::Broker(fault)) => fault,
        Err(HandoverFault::Json(_)) => return Err(Refusal::Internal),
    };
    match &front.spool {
        Some(spool) if can_be_published_later(&fault) && has_been_admitted(front) => {
            spool.store(message).await?;
            Ok(StoredBy::Spool)
        }
        Some(_) | None if fault.may_be_stored() => Err(Refusal::Unconfirmed(fault)),
        Some(_) | None => Err(Refusal::BrokerAway),
    }
}

/// Whether the broker has ever compared the key of this front. A front that has never reached it
/// may seal with a key that nobody has, so it spools nothing.
fn has_been_admitted(front: &Front) -> bool {
    match &*front.admission.borrow() {
        AdmissionState::Admitted | AdmissionState::AdmittedEarlier => true,
        AdmissionState::Unknown | AdmissionState::Refused(_) => false,
    }
}

/// Publishes, and tries again within [`Limits::hold`](super::Limits) as long as the message was
/// certainly not sent.
async fn publish_until_confirmed(
    front: &Front,
    message: &mut RegistrationMessage,
) -> Result<Instant, HandoverFault> {
    let mut deadline = Instant::now() + front.limits.hold;
    loop {
        message.registration.accepted_at = Timestamp::now();
        let since = Instant::now();
        let fault = match publish(&front.publisher, message).await {
            Ok(()) => {
                if let Some(spool) = &front.spool {
                    spool.broker_accepted();
                }
                return Ok(since);
            }
            Err(HandoverFault::Broker(fault)) => fault,
            Err(fault @ HandoverFault::Json(_)) => return Err(fault),
        };
        tracing::warn!(error = %fault, "publishing the registration failed");
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
        // With a spool, the deadline counts from the time at which the broker became unavailable: a
        // later caller gains nothing by waiting.
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

/// Publishes the registration once, without a retry.
pub(super) async fn publish(
    publisher: &Publisher,
    message: &RegistrationMessage,
) -> Result<(), HandoverFault> {
    let key = &message.registration.key;
    let outgoing = message.outgoing(key.id(), &key.record)?;
    Ok(publisher.publish(&targets::registrations(), outgoing).await?)
}

/// Whether the same message can be published once the broker, or its set-up, works again.
pub(super) fn can_be_published_later(fault: &PublishError) -> bool {
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
