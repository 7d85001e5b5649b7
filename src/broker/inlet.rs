//! A delivery without a broker: for property tests and fuzzers.
//!
//! Invariant: as of [`crate::inlets`].

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::protocol::basic::parse_properties;
use lapin::types::ShortString;

use super::delivery::Incoming;
use super::error::NotSent;
use super::queue::WorkQueue;
use super::settle::{self, Settlement};

/// A message whose properties are these bytes, as the wire has them; `None` if lapin takes them for none.
pub fn read(properties: &[u8], body: &[u8], us: &str, now: Timestamp) -> Option<Incoming> {
    let (_, properties) = parse_properties(properties).ok()?;
    Some(deliver(properties, body, us, now))
}

/// What a settlement publishes, delivered to us in its turn; `None` if nothing follows.
///
/// # Errors
/// [`NotSent`] when it could not be published.
pub fn settle(
    message: Incoming,
    settlement: Settlement,
    queue: &WorkQueue,
    us: &str,
    now: Timestamp,
) -> Result<Option<Incoming>, NotSent> {
    let Some((_, letter)) = settle::follow_up(message, settlement, queue, now) else { return Ok(None) };
    Ok(Some(deliver(letter.properties(Some(us), now)?, &letter.body, us, now)))
}

fn deliver(properties: BasicProperties, body: &[u8], us: &str, now: Timestamp) -> Incoming {
    let text = |text: &str| ShortString::try_new(text).unwrap_or_default();
    let mut delivery = Delivery::mock(1, text("exchange"), text("key"), false, body.to_vec());
    delivery.properties = properties;
    Incoming::read(&mut delivery, us, now)
}
