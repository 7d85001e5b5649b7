//! The system clients (integrations) that OpenCRVS knows, and the tokens that it gave them.
//!
//! Invariant: a token carries the scopes that its client had when it was given, until it expires.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::sandbox::opencrvs::keys::TokenHash;

/// A system client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemClient {
    pub id: String,
    pub name: String,
    pub secret: String,
    /// Scopes in the form `type=record.read&event=birth,death`.
    pub scopes: Vec<String>,
    /// Whether an administrator has deactivated the client. It is then given no tokens.
    pub is_disabled: bool,
    /// How often the secret was rotated.
    rotations: u32,
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
    /// The client of each token that was given, and the client's rotations at that time.
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
            rotations: 0,
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

    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut SystemClient)) -> bool {
        self.clients.get_mut(id).map(change).is_some()
    }

    /// Gives the client another secret. The old one is worthless at once.
    pub(super) fn rotate(&mut self, id: &str) -> Option<String> {
        let client = self.clients.get_mut(id)?;
        client.secret = random();
        client.rotations += 1;
        Some(client.secret.clone())
    }

    pub(super) fn delete(&mut self, id: &str) -> bool {
        self.clients.remove(id).is_some()
    }

    /// The client with these credentials, unless it is deactivated.
    pub(super) fn authenticate(&self, id: &str, secret: &str) -> Option<&SystemClient> {
        self.clients.get(id).filter(|client| client.secret == secret && !client.is_disabled)
    }

    pub(super) fn give(&mut self, client: &str, token: TokenHash) {
        let rotations = self.clients.get(client).map_or(0, |client| client.rotations);
        self.tokens.insert(token, (client.to_owned(), rotations));
    }

    /// Whether the token was given before its client's secret was rotated.
    pub(super) fn is_from_before_rotation(&self, token: &TokenHash) -> bool {
        self.tokens.get(token).is_some_and(|(client, rotations)| {
            self.clients.get(client).is_some_and(|client| client.rotations > *rotations)
        })
    }
}

fn random() -> String {
    uuid::Uuid::new_v4().to_string()
}
