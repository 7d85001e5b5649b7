//! Properties of every message that claims to be a reply of the ID system.

use nidbridge::nid::{Malformed, Reply, Status};

const MAX: usize = 64 * 1024;

/// Reads the message as the resolve stage does.
pub fn check(body: &[u8]) -> Option<Reply> {
    let read = Reply::read(body, MAX);
    assert_eq!(read, Reply::read(body, MAX), "the same reply is read in the same way");
    assert_eq!(matches!(read, Err(Malformed::TooLong { .. })), body.len() > MAX);
    let reply = match read {
        Ok(reply) => reply,
        Err(malformed) => {
            assert!(format!("{malformed} {malformed:?}").len() < 128);
            return None;
        }
    };
    assert!(reply.submission >= 1);
    match &reply.status {
        Status::Issued(id) => {
            assert!((1..=64).contains(&id.expose().chars().count()));
            assert!(!id.expose().chars().any(char::is_control), "an ID may stand in a column");
            assert_eq!(id.expose().trim(), id.expose());
        }
        Status::Rejected(reason) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._[]-/".contains(c);
            assert!(reason.fields.iter().all(|field| field.len() <= 100 && field.chars().all(plain)));
        }
        Status::Retry(after) => assert!(after.is_none_or(|seconds| (1..=86_400).contains(&seconds))),
        Status::Pending | Status::Recorded => {}
    }
    Some(reply)
}
