//! Recognises the message ids that the bridge gives its messages.

/// Whether this is the form of our message ids: a UUID with hyphens, or for a request a UUID, a `:`
/// and the number of the submission.
pub(super) fn is_own(id: &str) -> bool {
    let (uuid, submission) = id.split_once(':').unwrap_or((id, "1"));
    // Of the forms that are parsed, only the one with hyphens is this long.
    uuid.len() == 36
        && uuid::Uuid::try_parse(uuid).is_ok()
        && matches!(submission.len(), 1..=10)
        && submission.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn nothing_but_a_uuid_and_a_number_is_ours() {
        const UUID: &str = "b3821b1b-0cf8-5bdc-b94e-ecbc9af4a30e";
        assert!(is_own(UUID) && is_own(&format!("{UUID}:1")) && is_own(&format!("{UUID}:4294967295")));
        for (before, after) in [
            ("", ":"),
            ("", ":Anna"),
            ("", ":\u{202e}1"),
            ("", ":1\n"),
            ("", ":1:1"),
            ("", ":-1"),
            ("", ":42949672950"),
            ("", " "),
            ("urn:uuid:", ""),
            ("{", "}"),
        ] {
            let id = format!("{before}{UUID}{after}");
            assert!(!is_own(&id), "{id}");
        }
        assert!(!is_own("") && !is_own("Anna") && !is_own(&UUID.replace('-', "")));
    }
}
