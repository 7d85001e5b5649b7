//! Properties of every file in the spool's directory: of its content and its name.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nidbridge::inlets::spool::{attempt, name, read, write};
use nidbridge::pipeline::RegistrationMessage;

/// Reads the bytes as the relay does, both as they are and under a correct checksum, and also as a
/// file name.
pub fn check(input: &[u8]) -> Option<RegistrationMessage> {
    drop(content(input));
    if let Ok(text) = std::str::from_utf8(input)
        && let Some(attempt) = attempt(text)
    {
        assert!(text.contains(&attempt.to_string()) && text.len() < 128, "{text:?}");
        assert!(!text.contains(['/', '\0']), "a name leads nowhere else");
    }
    content(&sealed(input))
}

/// The bytes with their correct checksum, as a release wrote them that did not authenticate its files.
pub fn sealed(content: &[u8]) -> Vec<u8> {
    let checksum = URL_SAFE_NO_PAD.encode(digest(&SHA256, content));
    [format!("nidbridge-spool.v1 {checksum}\n").as_bytes(), content].concat()
}

fn content(file: &[u8]) -> Option<RegistrationMessage> {
    let (message, trace) = read("", file)?;
    let written = write(&message, &trace).expect("what was read can be written");
    let name_of_it = name(&message.registration.key);
    assert_eq!(read("", &written), None, "the name is authenticated, too");
    assert_eq!(
        read(&name_of_it, &written),
        Some((message.clone(), trace)),
        "what is written is what was read"
    );
    let key = &message.registration.key;
    assert_eq!(attempt(&name(key)), Some(key.id()), "{}", name(key));
    Some(message)
}
