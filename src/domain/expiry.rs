//! When an attempt expires: after that time, OpenCRVS cannot be told its answer any more.
//!
//! Invariant: an attempt that can be answered without its token does not expire with the token.

use jiff::Timestamp;

use super::registration::Dialect;

/// When an attempt expires, or `None` if no token limits the time to answer it.
///
/// `has_client` says whether the bridge has a system client in OpenCRVS. The client answers in the
/// events generation only, and without the attempt's token.
pub fn expires_at(
    dialect: Dialect,
    token_expires_at: Option<Timestamp>,
    has_client: bool,
) -> Option<Timestamp> {
    match dialect {
        Dialect::Events if has_client => None,
        Dialect::Events | Dialect::Fhir => token_expires_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_expires_with_its_token_unless_the_client_can_answer_it() {
        let end = Some(Timestamp::UNIX_EPOCH);
        for (dialect, token, has_client, expected) in [
            (Dialect::Fhir, end, false, end),
            (Dialect::Fhir, end, true, end),
            (Dialect::Events, end, false, end),
            (Dialect::Events, end, true, None),
            (Dialect::Events, None, false, None),
            (Dialect::Events, None, true, None),
        ] {
            assert_eq!(
                expires_at(dialect, token, has_client),
                expected,
                "{dialect:?} {token:?} {has_client}"
            );
        }
    }
}
