//! Properties of every message from the broker: AMQP properties in their wire encoding, then the
//! body.

use nidbridge::broker::headers;
use std::time::Duration;

use jiff::Timestamp;
use nidbridge::broker::{Delay, Incoming, Settlement, WorkQueue};
use nidbridge::domain::Cause;
use nidbridge::inlets::amqp::{read, settle};

/// The user that the bridge connects as.
pub const US: &str = "nidbridge";
/// In bytes. AMQP properties must fit in one frame. The smallest frame that a broker may demand is
/// 4 KiB; RabbitMQ's is 128 KiB.
const ONE_FRAME: usize = 64 * 1024;

/// Reads the message as a stage does, delays it, and parks it.
pub fn check(input: &[u8]) {
    let split = usize::from(input.first().copied().unwrap_or_default()) * 16;
    let (properties, body) = input.split_at(split.min(input.len()));
    drop(message(properties.get(1..).unwrap_or_default(), body));
    drop(message(input, b""));
}

/// The same with both parts given.
pub fn message(properties: &[u8], body: &[u8]) -> Option<Incoming> {
    let now = Timestamp::UNIX_EPOCH;
    let message = read(properties, body, US, now);
    assert_eq!(message.is_some(), properties.len() >= 2, "what a broker may bring can be read");
    let message = message?;
    assert_eq!(message.body, body);
    assert!(format!("{message:?}").len() < 2_048, "what a vendor writes does not fill a log");
    if message.user_id.as_deref() != Some(US) && !message.headers.contains_key(headers::ORIGINAL_USER) {
        assert_eq!((message.attempt, message.first_seen), (0, now), "only our own word counts");
        assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("exchange", "key"));
    }
    let queue = WorkQueue::new("q", &[Duration::from_secs(5)], &[]);
    let later = Settlement::Delay { step: Delay::Next, cause: Cause::LedgerUnavailable.into() };
    let parked = Settlement::Park { cause: Cause::Malformed.into(), body: None, detail: None };
    let again = follows(&message, later, &queue, now);
    assert_eq!(again.attempt, message.attempt.saturating_add(1));
    let kept = follows(&again, parked, &queue, now);
    assert_eq!(kept.attempt, again.attempt);
    Some(message)
}

/// Id, type, origin, age and body of a message survive every delay.
fn follows(message: &Incoming, settlement: Settlement, queue: &WorkQueue, now: Timestamp) -> Incoming {
    let after = settle(message.clone(), settlement, queue, US, now);
    let after = after
        .unwrap_or_else(|cause| panic!("the follow-up cannot be published: {cause}"))
        .expect("a follow-up");
    let what = |message: &Incoming| {
        let Incoming { id, kind, content_type, correlation_id, user_id, exchange, routing_key, .. } = message;
        let texts = [id, kind, content_type, correlation_id, user_id].map(Clone::clone);
        (texts, exchange.clone(), routing_key.clone(), message.first_seen, message.body.clone())
    };
    let ((texts, rest), (texts_before, rest_before)) = (split(what(&after)), split(what(message)));
    assert_eq!(rest, rest_before);
    assert_eq!(texts[..4], texts_before[..4]);
    // Without a user id the broker vouched for nobody, and the copy carries ours.
    assert_eq!(texts[4].as_deref(), texts_before[4].as_deref().or(Some(US)));
    let size: usize = after.headers.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    assert!(size <= ONE_FRAME, "headers of {size} bytes");
    for odd in ["CC", "BCC", "x-death", "x-delivery-count"] {
        assert!(!after.headers.contains_key(odd), "{odd} asks the broker for something");
    }
    after
}

type What = ([Option<String>; 5], String, String, Timestamp, bytes::Bytes);

fn split(what: What) -> ([Option<String>; 5], (String, String, Timestamp, bytes::Bytes)) {
    let (texts, exchange, key, seen, body) = what;
    (texts, (exchange, key, seen, body))
}
