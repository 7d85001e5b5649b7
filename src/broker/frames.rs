//! A filter for the frames that the broker sends, before lapin parses them.
//!
//! A publisher may write texts that are not UTF-8 and tables that are nested without limit, and the
//! broker passes both on. When lapin reads such a text it closes the connection; when it reads such
//! a table it overflows the stack, which ends the process. In both cases the broker delivers the
//! message again, and the failure repeats.
//!
//! Invariant: all bytes pass in order and unchanged, except in such a message: in a text that is
//! not UTF-8, such as its routing key, the bytes that are not ASCII become `?`, and properties that
//! lapin cannot parse are removed. At most one frame is buffered.

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xCE;
/// Bytes before the payload of a frame: kind, channel and length.
const OPENING: usize = 7;
/// Bytes before the flags of the properties: class, weight and length of the body.
const PREFIX: usize = 12;
/// Longest method frame or header frame that is inspected, in bytes. RabbitMQ's frames have at most
/// 128 KiB.
const LONGEST: usize = 4 * 1024 * 1024;
/// Deepest nesting of tables that passes. The broker's own `x-death` has two levels.
const DEEPEST: usize = 16;

/// The properties in the order of the wire, each with its bit in the flags and its type.
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

/// Filters a stream of frames, which may arrive in pieces that are cut anywhere.
#[derive(Debug, Default)]
pub(super) struct FrameFilter {
    buffer: Vec<u8>,
    /// Remaining bytes of the frame that passes unchanged.
    passing: usize,
}

impl FrameFilter {
    /// Filters the bytes in `came` and appends to `out` what lapin may parse.
    pub(super) fn feed(&mut self, came: &[u8], out: &mut Vec<u8>) {
        self.buffer.extend_from_slice(came);
        let mut at = 0;
        while let Some(rest) = self.buffer.get(at..).filter(|rest| !rest.is_empty()) {
            if self.passing > 0 {
                let (passes, _) = rest.split_at_checked(self.passing).unwrap_or((rest, &[]));
                out.extend_from_slice(passes);
                self.passing -= passes.len();
                at += passes.len();
                continue;
            }
            let Some(length) = frame_length(rest) else { break };
            match (rest.first(), rest.get(..length)) {
                (Some(&METHOD), Some(frame)) if length <= LONGEST => {
                    out.extend(method(frame));
                    at += length;
                }
                (Some(&HEADER), Some(frame)) if length <= LONGEST => {
                    out.extend(header(frame));
                    at += length;
                }
                // The frame is not complete yet.
                (Some(&(METHOD | HEADER)), None) if length <= LONGEST => break,
                _ => self.passing = length,
            }
        }
        self.buffer.drain(..at);
    }
}

/// The length of the frame that `bytes` begin with: `None` if the start of the frame is incomplete,
/// `usize::MAX` if the bytes are no frame at all.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [METHOD | HEADER | BODY | HEARTBEAT, _, _, a, b, c, d, ..] => {
            let payload = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            Some(payload.saturating_add(OPENING + 1))
        }
        [METHOD | HEADER | BODY | HEARTBEAT, ..] => None,
        _ => Some(usize::MAX),
    }
}

/// Replaces bytes that are not text in the names that a publisher chose, in the methods that carry
/// a message.
fn method(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let payload = frame.get(OPENING..OPENING + 4);
    // The position of the first text, the number of texts, and the gap: after how many texts how
    // many other bytes follow.
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

/// Removes properties that lapin cannot parse.
fn header(frame: &[u8]) -> Vec<u8> {
    let payload = frame.get(OPENING..frame.len().saturating_sub(1)).unwrap_or_default();
    // A publisher cannot cause a frame without flags.
    if payload.len() < PREFIX + 2 || is_safe(payload.get(PREFIX..).unwrap_or_default()) {
        return frame.to_vec();
    }
    let length = u32::try_from(PREFIX + 2).unwrap_or_default();
    let (opening, prefix) = (frame.get(..3).unwrap_or_default(), payload.get(..PREFIX).unwrap_or_default());
    [opening, &length.to_be_bytes(), prefix, &[0, 0], &[END]].concat()
}

/// Whether lapin can parse these properties and drop the result without overflowing the stack.
fn is_safe(properties: &[u8]) -> bool {
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

/// Skips a short text and returns the bytes after it. Returns `None` if the text is incomplete or
/// is not UTF-8.
fn text(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    std::str::from_utf8(text).is_ok().then_some(rest)
}

/// Reads a length of four bytes, and splits the bytes after it into those that the length covers
/// and the rest.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Whether a table (whose fields have names) or a list is well-formed and nested no deeper than
/// `DEEPEST`.
fn fields(bytes: &[u8], named: bool, depth: usize) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let value = if named { text(rest) } else { Some(rest) };
        let Some(after) = value.and_then(|value| field(value, depth)) else { return false };
        rest = after;
    }
    depth <= DEEPEST
}

/// Skips a value with its type and returns the bytes after it.
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
