//! Registers the bridge's system client in OpenCRVS (2.0.1 and newer), which calls it an
//! integration.
//!
//! The events service accepts two REST calls, `GET` and `POST /integrations`, from any caller that
//! has a bootstrap token. OpenCRVS core sends such a token to the country's configuration service
//! when it starts. Core would create a second client of the same name, so the list is read first.
//!
//! Source: `packages/events/src/router/integrations` of opencrvs-core (057c1f2d), and *Create a
//! client* of the OpenCRVS documentation (2.1).
//!
//! Invariant: only the URL of the settings is called, and no redirect is followed, so no caller can
//! choose where the bootstrap token and the secret are sent. No fault contains a token, a secret, a
//! URL or a text from OpenCRVS.

use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::call::{CallFault, ClientSettings, HttpClient, send};
use super::client::{ClientCredentials, Right};
use crate::domain::EventKind;

/// The client that the bridge wants to have in OpenCRVS.
#[derive(Debug, Clone)]
pub struct WantedClient {
    /// The name in OpenCRVS's list of integrations.
    pub name: String,
    /// The id is a UUID that the country has chosen.
    pub credentials: ClientCredentials,
    /// The kinds of event that the client is to answer.
    pub kinds: Vec<EventKind>,
}

/// State of the client after a successful registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    Created,
    /// OpenCRVS had the client already. Holds the scopes that it lacks, if OpenCRVS lists scopes.
    Present {
        lacking: Vec<String>,
    },
}

/// Why the client could not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntegrationFault {
    #[error("the events service of OpenCRVS did not answer: check OPENCRVS_EVENTS_URL and that it is up")]
    Unavailable,
    #[error("the events service of OpenCRVS answered with HTTP {0}: see its log")]
    Status(u16),
    #[error(
        "the events service of OpenCRVS refuses the bootstrap token (HTTP {0}): check that AUTH_URL and \
         OPENCRVS_EVENTS_URL belong to the same OpenCRVS"
    )]
    Refused(u16),
    #[error(
        "the events service of OpenCRVS does not take integrations (HTTP {0}): OpenCRVS 2.0.1 or newer is needed; check \
         that OPENCRVS_EVENTS_URL is the events service, and that OPENCRVS_CLIENT_ID is a UUID"
    )]
    Unsupported(u16),
    #[error("the response of OpenCRVS's events service cannot be read: check OPENCRVS_EVENTS_URL")]
    Unreadable,
    #[error(
        "OpenCRVS has a client with the name OPENCRVS_CLIENT_NAME but another id: set OPENCRVS_CLIENT_ID and \
         OPENCRVS_CLIENT_SECRET to those of that client, or delete it in OpenCRVS (Integrations) and restart its events \
         service, or choose another OPENCRVS_CLIENT_NAME"
    )]
    NameTaken,
    #[error(
        "OpenCRVS has a client with the id OPENCRVS_CLIENT_ID but another name: if it is the bridge's, set \
         OPENCRVS_CLIENT_NAME to that name, else set OPENCRVS_CLIENT_ID to a new UUID"
    )]
    IdTaken,
    #[error("the client's secret cannot be read, or is empty: check OPENCRVS_CLIENT_SECRET_FILE")]
    NoSecret,
    #[error("the bridge's client is deactivated in OpenCRVS: activate it there (Integrations)")]
    Deactivated,
}

impl IntegrationFault {
    /// Whether the same call may succeed later although nobody changes anything.
    pub fn is_transient(self) -> bool {
        match self {
            // Core sends a new bootstrap token with each repeat, and its services start one after
            // another.
            Self::Unavailable | Self::Status(_) | Self::Unreadable | Self::Refused(_) | Self::NoSecret => {
                true
            }
            Self::Unsupported(_) | Self::NameTaken | Self::IdTaken | Self::Deactivated => false,
        }
    }
}

impl From<CallFault> for IntegrationFault {
    fn from(fault: CallFault) -> Self {
        match fault {
            CallFault::NotSent | CallFault::NoTls | CallFault::TimedOut | CallFault::BrokenOff => {
                Self::Unavailable
            }
            CallFault::TooLong => Self::Unreadable,
        }
    }
}

/// HTTP client for the events service's list of integrations.
#[derive(Debug, Clone)]
pub struct Integrations {
    client: HttpClient,
}

/// One client in the list. Not every release shows scopes and status.
#[derive(Deserialize)]
struct Listed {
    id: String,
    name: String,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    status: Option<String>,
}

impl Integrations {
    /// `events` is the events service itself, not the gateway.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(events: &ClientSettings) -> Result<Self, reqwest::Error> {
        Ok(Self { client: HttpClient::new(events)? })
    }

    /// Creates the client, unless OpenCRVS has it already. May be repeated and may run in several
    /// processes at once.
    ///
    /// # Errors
    /// [`IntegrationFault`]; no other client is changed.
    pub async fn ensure(
        &self,
        bootstrap: &SecretString,
        wanted: &WantedClient,
    ) -> Result<Registered, IntegrationFault> {
        if let Some(found) = wanted.find(&self.list(bootstrap).await?)? {
            return Ok(found);
        }
        match self.create(bootstrap, wanted).await {
            // Another front may have created it just now.
            Err(IntegrationFault::IdTaken) => {
                wanted.find(&self.list(bootstrap).await?)?.ok_or(IntegrationFault::IdTaken)
            }
            created => created,
        }
    }

    async fn list(&self, bootstrap: &SecretString) -> Result<Vec<Listed>, IntegrationFault> {
        call(bootstrap, self.client.get("integrations")).await
    }

    async fn create(
        &self,
        bootstrap: &SecretString,
        wanted: &WantedClient,
    ) -> Result<Registered, IntegrationFault> {
        let secret = wanted.credentials.secret.read().await.map_err(|_| IntegrationFault::NoSecret)?;
        let body = json!({
            "name": wanted.name,
            "scopes": wanted.scopes(),
            "credentials": { "clientId": wanted.credentials.id, "clientSecret": secret.expose_secret() },
        });
        let created: Created = call(bootstrap, self.client.post("integrations").json(&body)).await?;
        // A release that ignores `credentials` chooses the id itself.
        if is_same(&created.client_id, &wanted.credentials.id) {
            Ok(Registered::Created)
        } else {
            Err(IntegrationFault::Unsupported(StatusCode::OK.as_u16()))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    client_id: String,
}

/// The scope that gives a right for these kinds of event.
pub fn scope_of(right: Right, kinds: &[EventKind]) -> String {
    let kinds: Vec<&str> = kinds.iter().map(EventKind::as_str).collect();
    format!("type={}&event={}", right.scope(), kinds.join(","))
}

impl WantedClient {
    /// The scopes that the client needs, in the form that OpenCRVS takes.
    pub fn scopes(&self) -> Vec<String> {
        Right::ALL.map(|right| scope_of(right, &self.kinds)).into()
    }

    fn find(&self, listed: &[Listed]) -> Result<Option<Registered>, IntegrationFault> {
        let Some(one) = listed.iter().find(|one| is_same(&one.id, &self.credentials.id)) else {
            let taken = listed.iter().any(|one| one.name == self.name);
            return if taken { Err(IntegrationFault::NameTaken) } else { Ok(None) };
        };
        if one.name != self.name {
            return Err(IntegrationFault::IdTaken);
        }
        if one.status.as_deref() == Some("disabled") {
            return Err(IntegrationFault::Deactivated);
        }
        let lacking = match &one.scopes {
            None => Vec::new(),
            Some(scopes) => self.scopes().into_iter().filter(|wanted| !is_granted(scopes, wanted)).collect(),
        };
        Ok(Some(Registered::Present { lacking }))
    }
}

/// UUIDs are compared without regard to case.
fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Whether one of the scopes grants the wanted one: it has the same type, and either no kinds of
/// event or all the wanted ones.
fn is_granted(scopes: &[String], wanted: &str) -> bool {
    let (right, kinds) = parts(wanted);
    scopes.iter().any(|scope| {
        let (granted, theirs) = parts(scope);
        granted == right
            && theirs.is_none_or(|theirs| {
                kinds.is_some_and(|kinds| {
                    kinds.split(',').all(|kind| theirs.split(',').any(|one| one == kind))
                })
            })
    })
}

/// The type and the event kinds of a scope.
fn parts(scope: &str) -> (Option<&str>, Option<&str>) {
    let part = |name| scope.split('&').find_map(move |part| part.strip_prefix(name));
    (part("type="), part("event="))
}

async fn call<T: DeserializeOwned>(
    bootstrap: &SecretString,
    request: RequestBuilder,
) -> Result<T, IntegrationFault> {
    let response = send(request.bearer_auth(bootstrap.expose_secret())).await?;
    match response.status() {
        StatusCode::CONFLICT => Err(IntegrationFault::IdTaken),
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Err(IntegrationFault::Refused(status.as_u16()))
        }
        status @ (StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::NOT_IMPLEMENTED) => Err(IntegrationFault::Unsupported(status.as_u16())),
        status if !status.is_success() => Err(IntegrationFault::Status(status.as_u16())),
        _ => serde_json::from_slice(&response.body().await?).map_err(|_| IntegrationFault::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretSource;
    use crate::opencrvs::bare_server::server;

    fn wanted() -> WantedClient {
        WantedClient {
            name: "NID Bridge".to_owned(),
            credentials: ClientCredentials {
                id: "7d1c0a52-3f0e-4a55-9b1e-5a0a6c0c9b11".to_owned(),
                secret: SecretSource::Value(SecretString::from("s")),
                next_secret: None,
            },
            kinds: vec![EventKind::Birth, EventKind::Death],
        }
    }

    fn found(list: &str) -> Result<Option<Registered>, IntegrationFault> {
        let list: Vec<Listed> = serde_json::from_str(list).unwrap();
        wanted().find(&list)
    }

    #[test]
    fn a_client_is_the_bridges_if_both_id_and_name_match() {
        let nothing = Registered::Present { lacking: Vec::new() };
        assert_eq!(found("[]"), Ok(None));
        assert_eq!(found(r#"[{"id":"1","name":"MOSIP"}]"#), Ok(None));
        let ours = r#"[{"id":"7D1C0A52-3f0e-4a55-9b1e-5a0a6c0c9b11","name":"NID Bridge"}]"#;
        assert_eq!(found(ours), Ok(Some(nothing)));
        let name = r#"[{"id":"1","name":"NID Bridge"}]"#;
        assert_eq!(found(name), Err(IntegrationFault::NameTaken));
        let id = r#"[{"id":"7d1c0a52-3f0e-4a55-9b1e-5a0a6c0c9b11","name":"MOSIP"}]"#;
        assert_eq!(found(id), Err(IntegrationFault::IdTaken));
        let off =
            r#"[{"id":"7d1c0a52-3f0e-4a55-9b1e-5a0a6c0c9b11","name":"NID Bridge","status":"disabled"}]"#;
        assert_eq!(found(off), Err(IntegrationFault::Deactivated));
    }

    #[test]
    fn a_scope_grants_what_it_names_and_a_scope_without_kinds_grants_all() {
        let list = |scopes: &str| {
            let entry = format!(
                r#"[{{"id":"7d1c0a52-3f0e-4a55-9b1e-5a0a6c0c9b11","name":"NID Bridge","status":"active","scopes":[{scopes}]}}]"#
            );
            match found(&entry).unwrap().unwrap() {
                Registered::Present { lacking } => lacking,
                Registered::Created => panic!("not created"),
            }
        };
        let all = "\"type=record.action.accept&event=death,birth\",\"type=record.action.reject\",\
                   \"type=record.read&event=birth,death,marriage\",\"type=record.search&event=birth,death\"";
        assert_eq!(list(all), Vec::<String>::new());
        let others = "\"type=record.action.accept\",\"type=record.action.reject\",\"type=record.read\",\
                      \"type=record.search&event=marriage,divorce\"";
        assert_eq!(list(others), ["type=record.search&event=birth,death"]);
        let births =
            "\"type=record.action.accept&event=birth\",\"type=record.action.reject\",\"type=record.read\"";
        assert_eq!(
            list(births),
            ["type=record.action.accept&event=birth,death", "type=record.search&event=birth,death"]
        );
    }

    #[tokio::test]
    async fn a_client_that_opencrvs_has_is_not_created_again() {
        let ours = r#"[{"id":"7d1c0a52-3f0e-4a55-9b1e-5a0a6c0c9b11","name":"NID Bridge"}]"#;
        let opencrvs = server(&[(200, ours.to_owned())]).await;
        let integrations = Integrations::new(&opencrvs.settings()).unwrap();
        let registered = integrations.ensure(&SecretString::from("t"), &wanted()).await;
        assert_eq!(registered, Ok(Registered::Present { lacking: Vec::new() }));
        let requests = opencrvs.requests();
        assert!(
            matches!(requests.as_slice(), [one] if one.starts_with("GET /base/integrations ")),
            "{requests:?}"
        );
    }

    #[tokio::test]
    async fn what_opencrvs_answers_to_a_registration_is_told_apart() {
        let bootstrap = SecretString::from("t");
        for (status, fault, is_transient) in [
            (409, IntegrationFault::IdTaken, false),
            (401, IntegrationFault::Refused(401), true),
            (403, IntegrationFault::Refused(403), true),
            (404, IntegrationFault::Unsupported(404), false),
            (422, IntegrationFault::Unsupported(422), false),
            (502, IntegrationFault::Status(502), true),
            (301, IntegrationFault::Status(301), true),
            (200, IntegrationFault::Unreadable, true),
        ] {
            let opencrvs = server(&[(status, "<html>".to_owned())]).await;
            let client = HttpClient::new(&opencrvs.settings()).unwrap();
            let found =
                call::<Vec<serde_json::Value>>(&bootstrap, client.get("integrations")).await.unwrap_err();
            assert_eq!(found, fault, "{status}");
            assert_eq!(found.is_transient(), is_transient, "{status}");
            assert!(opencrvs.requests()[0].contains("authorization: Bearer t\r\n"));
        }
    }
}
