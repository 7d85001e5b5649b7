//! The system clients (integrations) that OpenCRVS knows, and the tokens that it gave them.
//!
//! Invariant: a token carries the scopes that its client had when it was given, until it expires.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::sandbox::opencrvs::OpencrvsSim;
use crate::sandbox::opencrvs::keys::TokenHash;

/// A system client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemClient {
    pub id: String,
    pub name: String,
    pub secret: String,
    /// Scopes in the form `type=record.read&event=birth,death`.
    pub scopes: Vec<String>,
    /// Whether an administrator has deactivated the client. It then gets no tokens.
    pub is_disabled: bool,
    /// How often the secret was rotated or the tokens were revoked.
    pub(super) changes: u32,
    /// Tokens that were given before so many changes are revoked.
    revoked: u32,
}

/// The credentials of a new client, as `POST /integrations` answers them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCredentials {
    pub client_id: String,
    pub client_secret: String,
    pub sha_secret: String,
}

#[derive(Debug, Default)]
pub(super) struct Clients {
    clients: BTreeMap<String, SystemClient>,
    /// The client of each token that was given, and the client's changes at that time.
    tokens: HashMap<TokenHash, (String, u32)>,
}

impl Clients {
    /// Creates a client. `None` if the id is taken. Names need not be unique.
    pub(super) fn create(
        &mut self,
        name: &str,
        scopes: Vec<String>,
        credentials: Option<(String, String)>,
    ) -> Option<ClientCredentials> {
        let (id, secret) = credentials.unwrap_or_else(|| (random(), random()));
        if self.clients.contains_key(&id) {
            return None;
        }
        let client = SystemClient {
            id: id.clone(),
            name: name.to_owned(),
            secret: secret.clone(),
            scopes,
            is_disabled: false,
            changes: 0,
            revoked: 0,
        };
        self.clients.insert(id.clone(), client);
        Some(ClientCredentials { client_id: id, client_secret: secret, sha_secret: random() })
    }

    pub(super) fn get(&self, id: &str) -> Option<&SystemClient> {
        self.clients.get(id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &SystemClient> {
        self.clients.values()
    }

    /// The client with these credentials, unless it is deactivated.
    pub(super) fn authenticate(&self, id: &str, secret: &str) -> Option<&SystemClient> {
        self.clients.get(id).filter(|client| client.secret == secret && !client.is_disabled)
    }

    /// Remembers a token that was given. `changes` is the client's count when it was authenticated:
    /// its secret may have been rotated since.
    pub(super) fn give(&mut self, client: &str, changes: u32, token: TokenHash) {
        self.tokens.insert(token, (client.to_owned(), changes));
    }

    /// Whether the token is revoked, or was given before its client's secret was rotated and a
    /// rotation kills tokens.
    pub(super) fn is_dead(&self, token: &TokenHash, rotation_kills: bool) -> bool {
        self.tokens.get(token).is_some_and(|(client, changes)| {
            self.clients.get(client).is_some_and(|client| {
                *changes < client.revoked || (rotation_kills && *changes < client.changes)
            })
        })
    }
}

impl OpencrvsSim {
    /// Creates a system client with these scopes, in the form `type=record.read&event=birth,death`.
    pub fn add_client(&self, name: &str, scopes: &[&str]) -> ClientCredentials {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        // A random id is never taken.
        loop {
            let created = self.core.events.with(|state| state.clients.create(name, scopes.clone(), None));
            if let Some(created) = created {
                return created;
            }
        }
    }

    /// Creates a system client with pre-shared credentials. `None` if the id is taken.
    pub fn add_client_with(
        &self,
        (id, secret): (&str, &str),
        name: &str,
        scopes: &[&str],
    ) -> Option<ClientCredentials> {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let credentials = Some((id.to_owned(), secret.to_owned()));
        self.core.events.with(|state| state.clients.create(name, scopes, credentials))
    }

    pub fn clients(&self) -> Vec<SystemClient> {
        self.core.events.with(|state| state.clients.all().cloned().collect())
    }

    /// Replaces the scopes of a client. A token keeps the scopes that it was given.
    pub fn set_client_scopes(&self, client: &str, scopes: &[&str]) -> bool {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.change_client(client, |client| client.scopes = scopes)
    }

    /// Deactivates a client, or activates it again. A deactivated client gets no tokens.
    pub fn disable_client(&self, client: &str, is_disabled: bool) -> bool {
        self.change_client(client, |client| client.is_disabled = is_disabled)
    }

    /// Deletes a client. Its tokens are invalid at once.
    pub fn delete_client(&self, client: &str) -> bool {
        self.core.events.with(|state| state.clients.clients.remove(client)).is_some()
    }

    /// Gives a client a new secret and returns it. The old one is invalid at once. `None` if the
    /// client does not exist.
    pub fn rotate_secret(&self, client: &str) -> Option<String> {
        let secret = random();
        self.rotate_secret_to(client, &secret).then_some(secret)
    }

    /// The same with a secret that is known beforehand. Returns false if the client does not exist.
    pub fn rotate_secret_to(&self, client: &str, secret: &str) -> bool {
        self.change_client(client, |client| {
            client.secret = secret.to_owned();
            client.changes += 1;
        })
    }

    /// Revokes all tokens of a client. Returns false if the client does not exist.
    pub fn revoke_tokens(&self, client: &str) -> bool {
        self.change_client(client, |client| {
            client.changes += 1;
            client.revoked = client.changes;
        })
    }

    fn change_client(&self, id: &str, change: impl FnOnce(&mut SystemClient)) -> bool {
        self.core.events.with(|state| state.clients.clients.get_mut(id).map(change)).is_some()
    }
}

fn random() -> String {
    uuid::Uuid::new_v4().to_string()
}
