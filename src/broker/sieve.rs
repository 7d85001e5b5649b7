//! What the broker sends, before lapin reads it.
//!
//! A publisher may write texts that are no UTF-8 and tables within tables without end, and the broker hands both on.
//! lapin gives the connection up over the one and runs out of stack over the other, which ends the process; either
//! way the message comes again, and again.
//!
//! Invariant: every byte passes in its order and unchanged, save those of such a message's envelope: in its routing key
//! there is `?` for what is no text, and its properties are left out. Nothing is held but the frame that is looked at.

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xCE;
/// Kind, channel and length before the payload.
const OPENING: usize = 7;
/// Class, weight and length of the body before the properties' flags.
const PREFIX: usize = 12;
/// Methods and properties have one frame, which is never this long: RabbitMQ's has 128 KiB.
const LONGEST: usize = 4 * 1024 * 1024;
/// Nobody who means well nests deeper; the broker's own `x-death` has two levels.
const DEEPEST: usize = 16;

/// The properties in their order: the bit in the flags, and what it is.
const PROPERTIES: [(u16, Property); 14] = [
    (15, Property::Text),
    (14, Property::Text),
    (13, Property::Table),
    (12, Property::Bytes(1)),
    (11, Property::Bytes(1)),
    (10, Property::Text),
    (9, Property::Text),
    (8, Property::Text),
    (7, Property::Text),
    (6, Property::Bytes(8)),
    (5, Property::Text),
    (4, Property::Text),
    (3, Property::Text),
    (2, Property::Text),
];

#[derive(Debug, Clone, Copy)]
enum Property {
    Text,
    Table,
    Bytes(usize),
}

/// Where in the stream of frames we are.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    held: Vec<u8>,
    /// Bytes that pass without being looked at.
    through: usize,
}

impl Sieve {
    /// Takes what came, and puts what lapin may read behind `out`.
    pub(super) fn feed(&mut self, came: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(came);
        let mut at = 0;
        while let Some(rest) = self.held.get(at..).filter(|rest| !rest.is_empty()) {
            if self.through > 0 {
                let (passes, _) = rest.split_at_checked(self.through).unwrap_or((rest, &[]));
                out.extend_from_slice(passes);
                self.through -= passes.len();
                at += passes.len();
                continue;
            }
            let Some(length) = whole(rest) else { break };
            match (rest.first(), rest.get(..length)) {
                (Some(&METHOD), Some(frame)) if length <= LONGEST => {
                    out.extend(method(frame));
                    at += length;
                }
                (Some(&HEADER), Some(frame)) if length <= LONGEST => {
                    out.extend(header(frame));
                    at += length;
                }
                // More of it is to come.
                (Some(&(METHOD | HEADER)), None) if length <= LONGEST => break,
                _ => self.through = length,
            }
        }
        self.held.drain(..at);
    }
}

/// The length of the frame that begins here; all there ever is of what is no frame.
fn whole(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [METHOD | HEADER | BODY | HEARTBEAT, _, _, a, b, c, d, ..] => {
            let payload = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            Some(payload.saturating_add(OPENING + 1))
        }
        [METHOD | HEADER | BODY | HEARTBEAT, ..] => None,
        _ => Some(usize::MAX),
    }
}

/// Of the methods that bring a message, those texts that its publisher chose.
fn method(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let payload = frame.get(OPENING..OPENING + 4);
    // How many bytes lie before the texts, after how many texts how many bytes follow.
    let (mut at, texts, gap) = match payload {
        // deliver: consumer tag, (delivery tag, redelivered), exchange, routing key
        Some([0, 60, 0, 60]) => (OPENING + 4, 3, Some((1, 9))),
        // get-ok: (delivery tag, redelivered), exchange, routing key
        Some([0, 60, 0, 71]) => (OPENING + 13, 2, None),
        // return: (code), text, exchange, routing key
        Some([0, 60, 0, 50]) => (OPENING + 6, 3, None),
        _ => return frame,
    };
    for number in 0..texts {
        if let Some((after, bytes)) = gap
            && number == after
        {
            at += bytes;
        }
        let Some(length) = frame.get(at).map(|length| usize::from(*length)) else { break };
        if let Some(text) = frame.get_mut(at + 1..at + 1 + length)
            && std::str::from_utf8(text).is_err()
        {
            text.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
        }
        at += 1 + length;
    }
    frame
}

fn header(frame: &[u8]) -> Vec<u8> {
    let payload = frame.get(OPENING..frame.len().saturating_sub(1)).unwrap_or_default();
    // One that has no room for flags is not the work of a publisher.
    if payload.len() < PREFIX + 2 || sound(payload.get(PREFIX..).unwrap_or_default()) {
        return frame.to_vec();
    }
    let length = u32::try_from(PREFIX + 2).unwrap_or_default();
    let (opening, prefix) = (frame.get(..3).unwrap_or_default(), payload.get(..PREFIX).unwrap_or_default());
    [opening, &length.to_be_bytes(), prefix, &[0, 0], &[END]].concat()
}

/// Whether lapin can read these properties, and whoever has them drop them again.
fn sound(properties: &[u8]) -> bool {
    let Some((flags, mut rest)) = properties.split_first_chunk::<2>() else { return false };
    let flags = u16::from_be_bytes(*flags);
    for (_, property) in PROPERTIES.into_iter().filter(|(bit, _)| flags & (1 << bit) != 0) {
        let after = match property {
            Property::Text => text(rest),
            Property::Table => sized(rest).and_then(|(table, after)| fields(table, true, 1).then_some(after)),
            Property::Bytes(count) => rest.get(count..),
        };
        let Some(after) = after else { return false };
        rest = after;
    }
    rest.is_empty() && flags & 0b11 == 0
}

/// Goes past a short text.
fn text(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    std::str::from_utf8(text).is_ok().then_some(rest)
}

/// Takes what is under a length of four bytes.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Whether a table (its fields have names) or a list is whole, and nested no deeper than is allowed.
fn fields(bytes: &[u8], named: bool, depth: usize) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let value = if named { text(rest) } else { Some(rest) };
        let Some(after) = value.and_then(|value| field(value, depth)) else { return false };
        rest = after;
    }
    depth <= DEEPEST
}

/// Goes past a value with its type.
fn field(bytes: &[u8], depth: usize) -> Option<&[u8]> {
    let (kind, rest) = bytes.split_first()?;
    match kind {
        b'V' => Some(rest),
        b't' | b'b' | b'B' => rest.get(1..),
        b's' | b'U' | b'u' => rest.get(2..),
        b'I' | b'i' | b'f' => rest.get(4..),
        b'D' => rest.get(5..),
        b'L' | b'l' | b'd' | b'T' => rest.get(8..),
        b'S' | b'x' => sized(rest).map(|(_, after)| after),
        b'A' | b'F' if depth < DEEPEST => {
            let (inner, after) = sized(rest)?;
            fields(inner, *kind == b'F', depth + 1).then_some(after)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
