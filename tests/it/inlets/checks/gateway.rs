//! Properties of every answer of the gateway. In the input, two bytes are the status and the rest
//! is the body.

use std::time::Duration;

use nidbridge::inlets::opencrvs::{answer, seen};
use nidbridge::opencrvs::{FaultClass, OpencrvsFault};
use serde_json::Value;

/// Reads the answer to a write, as the confirmer does.
pub fn check(input: &[u8]) {
    let Some((status, body)) = input.split_first_chunk::<2>() else { return };
    // Mostly 200, which GraphQL answers even to errors.
    let status = match u16::from_be_bytes(*status) {
        odd if odd % 4 == 0 => odd / 4,
        _ => 200,
    };
    drop(status_and_body(status, body));
}

/// The same with both parts given.
pub fn status_and_body(status: u16, body: &[u8]) -> Option<Result<Value, OpencrvsFault>> {
    let wait = Some(Duration::from_secs(7));
    let read = answer(status, wait, body)?;
    assert_eq!(Some(&read), answer(status, wait, body).as_ref(), "the same answer is read in the same way");
    let errors = serde_json::from_slice::<Value>(body).ok().and_then(|body| body.get("errors").cloned());
    let some = errors.as_ref().and_then(Value::as_array).is_some_and(|errors| !errors.is_empty());
    match &read {
        Ok(data) => {
            assert!((200..300).contains(&status) && !some && !data.is_null());
            drop(seen(data));
        }
        Err(fault) => {
            assert!(format!("{fault} {fault:?}").len() < 256, "{fault}");
            let sure = fault.class() != FaultClass::Ambiguous;
            // An answer that says nothing about the write is no proof that it did not happen.
            assert!(!(sure && (500..600).contains(&status)), "{status}: {fault}");
            assert!(!(sure && (200..300).contains(&status) && !some), "{status}: {fault}");
        }
    }
    Some(read)
}
