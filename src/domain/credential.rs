//! Which credential answers an action of the events generation: the action token that came with the
//! registration, or the bridge's own client.
//!
//! OpenCRVS 1.9 takes the token only, 2.0 the token and in some releases the client, 2.1 the client
//! only. The bridge is not told which release it talks to, and OpenCRVS may be upgraded while an
//! attempt waits.
//!
//! Invariant: no attempt ends because the wrong credential was tried first, and an attempt that the
//! configured client may answer never ends for lack of a credential.

use super::cause::Cause;

/// What a call to OpenCRVS carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The action token that came with the registration.
    Token,
    /// An access token of the bridge's own client.
    Client,
}

/// What is known of the client, from earlier calls and probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientStanding {
    NotConfigured,
    /// Not probed yet.
    Unknown,
    /// This release lets the client answer, and the client's scopes cover the kind of event.
    May,
    /// This release lets no client answer, or the client lacks a scope.
    MayNot,
}

/// What is known of the action token while one delivery is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenState {
    /// The attempt has none, or it has expired.
    Absent,
    Usable,
    /// OpenCRVS refused it during this delivery (401 or 403).
    Refused,
}

/// Why the client could not answer during this delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientRefusal {
    /// A user is assigned to the event (409).
    Assigned,
    /// The client lacks a scope (403, or 404 for a kind of event outside its scopes).
    Scope,
    /// Refused (403), although its scopes cover the call: this release lets no client answer.
    Release,
    /// OpenCRVS refuses the client's secret, or even a fresh access token.
    Refused,
    /// No access token could be fetched, because OpenCRVS does not answer.
    Unavailable,
    /// OpenCRVS does not know the event (404), although its kind is within the scopes.
    NotFound,
}

/// What the choice depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credentials {
    pub token: TokenState,
    pub client: ClientStanding,
    /// Why the client could not answer, if it was tried during this delivery.
    pub refusal: Option<ClientRefusal>,
}

/// The next step of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Choice {
    Try(Credential),
    /// No credential can answer now. Try again later, without a limit.
    Later(Blocker),
    /// OpenCRVS refused the token, and no client can answer instead. The refusal is final.
    TokenRefused,
    /// OpenCRVS does not know the event, whichever credential is used.
    NotFound,
}

/// What keeps the bridge from answering for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blocker {
    /// A user is assigned to the event.
    Assigned,
    /// The client lacks a scope.
    Scope,
    /// OpenCRVS refuses the client.
    Refused,
    /// No client is configured.
    Missing,
    /// OpenCRVS does not answer.
    Unavailable,
}

impl Blocker {
    pub fn cause(self) -> Cause {
        match self {
            Self::Assigned => Cause::Assigned,
            Self::Scope => Cause::ClientScope,
            Self::Refused => Cause::ClientRefused,
            Self::Missing => Cause::ClientMissing,
            Self::Unavailable => Cause::GatewayUnavailable,
        }
    }
}

/// Chooses the credential of the next call, but never one that was refused during this delivery.
pub fn choose(credentials: &Credentials) -> Choice {
    let Credentials { token, client, refusal } = *credentials;
    let has_token = token == TokenState::Usable;
    let has_client = client != ClientStanding::NotConfigured && refusal.is_none();
    match (has_token, has_client) {
        (true, true) if client == ClientStanding::May => Choice::Try(Credential::Client),
        (true, _) => Choice::Try(Credential::Token),
        (false, true) => Choice::Try(Credential::Client),
        (false, false) => without_credential(token, refusal),
    }
}

fn without_credential(token: TokenState, refusal: Option<ClientRefusal>) -> Choice {
    match refusal {
        Some(ClientRefusal::Assigned) => Choice::Later(Blocker::Assigned),
        Some(ClientRefusal::Unavailable) => Choice::Later(Blocker::Unavailable),
        Some(ClientRefusal::Refused) => Choice::Later(Blocker::Refused),
        Some(ClientRefusal::NotFound) => Choice::NotFound,
        // If no scope lets a client answer, it is useless to wait for one.
        Some(ClientRefusal::Release) | None if token == TokenState::Refused => Choice::TokenRefused,
        Some(ClientRefusal::Release | ClientRefusal::Scope) => Choice::Later(Blocker::Scope),
        None => Choice::Later(Blocker::Missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [TokenState; 3] = [TokenState::Absent, TokenState::Usable, TokenState::Refused];
    const STANDINGS: [ClientStanding; 4] =
        [ClientStanding::NotConfigured, ClientStanding::Unknown, ClientStanding::May, ClientStanding::MayNot];
    const REFUSALS: [ClientRefusal; 6] = [
        ClientRefusal::Assigned,
        ClientRefusal::Scope,
        ClientRefusal::Release,
        ClientRefusal::Refused,
        ClientRefusal::Unavailable,
        ClientRefusal::NotFound,
    ];

    fn first(token: TokenState, client: ClientStanding) -> Choice {
        choose(&Credentials { token, client, refusal: None })
    }

    #[test]
    fn the_client_goes_first_only_where_it_is_known_to_be_allowed() {
        for client in STANDINGS {
            let expected = match client {
                ClientStanding::May => Credential::Client,
                ClientStanding::NotConfigured | ClientStanding::Unknown | ClientStanding::MayNot => {
                    Credential::Token
                }
            };
            assert_eq!(first(TokenState::Usable, client), Choice::Try(expected), "{client:?}");
        }
    }

    #[test]
    fn no_attempt_ends_before_both_credentials_were_tried() {
        for client in STANDINGS.into_iter().filter(|client| *client != ClientStanding::NotConfigured) {
            for token in [TokenState::Absent, TokenState::Refused] {
                assert_eq!(first(token, client), Choice::Try(Credential::Client), "{token:?} {client:?}");
            }
            for refusal in REFUSALS {
                let after = Credentials { token: TokenState::Usable, client, refusal: Some(refusal) };
                assert_eq!(choose(&after), Choice::Try(Credential::Token), "{after:?}");
            }
        }
    }

    #[test]
    fn a_credential_that_was_refused_is_not_chosen_again() {
        for (token, client) in TOKENS.into_iter().flat_map(|token| STANDINGS.map(|client| (token, client))) {
            for refusal in REFUSALS.map(Some).into_iter().chain([None]) {
                let choice = choose(&Credentials { token, client, refusal });
                let tries_again = match choice {
                    Choice::Try(Credential::Token) => token != TokenState::Usable,
                    Choice::Try(Credential::Client) => refusal.is_some(),
                    Choice::Later(_) | Choice::TokenRefused | Choice::NotFound => false,
                };
                assert!(!tries_again, "{token:?} {client:?} {refusal:?}");
            }
        }
    }

    #[test]
    fn without_a_usable_credential_an_attempt_waits_for_what_the_client_lacks() {
        for (refusal, blocker) in [
            (ClientRefusal::Assigned, Blocker::Assigned),
            (ClientRefusal::Scope, Blocker::Scope),
            (ClientRefusal::Refused, Blocker::Refused),
            (ClientRefusal::Unavailable, Blocker::Unavailable),
        ] {
            for token in [TokenState::Absent, TokenState::Refused] {
                let credentials = Credentials { token, client: ClientStanding::May, refusal: Some(refusal) };
                assert_eq!(choose(&credentials), Choice::Later(blocker), "{credentials:?}");
            }
        }
        assert_eq!(first(TokenState::Absent, ClientStanding::NotConfigured), Choice::Later(Blocker::Missing));
        assert_eq!(first(TokenState::Refused, ClientStanding::NotConfigured), Choice::TokenRefused);
    }

    #[test]
    fn where_no_client_may_answer_the_refusal_of_the_token_is_final() {
        let client = ClientStanding::MayNot;
        let after = |token| choose(&Credentials { token, client, refusal: Some(ClientRefusal::Release) });
        assert_eq!(after(TokenState::Refused), Choice::TokenRefused);
        assert_eq!(after(TokenState::Absent), Choice::Later(Blocker::Scope));
    }
}
