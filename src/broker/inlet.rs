//! Reads and settles a delivery without a broker, for property tests and fuzzers.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::protocol::basic::parse_properties;
use lapin::types::ShortString;

use super::delivery::Incoming;
use super::error::NotSent;
use super::frames::FrameFilter;
use super::queue::WorkQueue;
use super::settle::{self, Settlement};

/// Bytes before the properties in a header frame: type, channel and size (7); class, weight and
/// body size (12).
const BEFORE: usize = 7 + 12;

/// Returns a delivery with these properties, which are given in their wire encoding, or `None` if
/// lapin cannot parse them.
pub fn read(properties: &[u8], body: &[u8], us: &str, now: Timestamp) -> Option<Incoming> {
    let length = u32::try_from(properties.len() + 12).ok()?.to_be_bytes();
    let frame =
        [&[2, 0, 1][..], &length, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], properties, &[0xCE]].concat();
    let mut passed = Vec::new();
    FrameFilter::default().feed(&frame, &mut passed);
    let (_, properties) = parse_properties(passed.get(BEFORE..passed.len().checked_sub(1)?)?).ok()?;
    Some(deliver(properties, body, us, now))
}

/// Returns the message that a settlement publishes, as it would be delivered to us, or `None` if
/// the settlement publishes nothing.
///
/// # Errors
/// [`NotSent`] when the message could not be published.
pub fn settle(
    message: Incoming,
    settlement: Settlement,
    queue: &WorkQueue,
    us: &str,
    now: Timestamp,
) -> Result<Option<Incoming>, NotSent> {
    let context = settle::Context { queue, version: env!("CARGO_PKG_VERSION"), now };
    let Some((_, raw)) = settle::follow_up(message, settlement, &context) else { return Ok(None) };
    Ok(Some(deliver(raw.properties(env!("CARGO_PKG_NAME"), Some(us), now)?, &raw.body, us, now)))
}

fn deliver(properties: BasicProperties, body: &[u8], us: &str, now: Timestamp) -> Incoming {
    let text = |text: &str| ShortString::try_new(text).unwrap_or_default();
    let mut delivery = Delivery::mock(1, text("exchange"), text("key"), false, body.to_vec());
    delivery.properties = properties;
    Incoming::read(&mut delivery, us, now)
}
