//! A simulated OpenCRVS 1.7 to 2.1 on real sockets: auth, the gateway, the country's configuration
//! service, and the services that call the bridge. It serves the FHIR generation and the events
//! generation (`events`) at the same time.
//!
//! It is as unforgiving as the real one. Errors come with HTTP 200. A second confirm succeeds and
//! does harm. A rejection by API is refused. Any answer but 2xx sets the record back to REJECTED,
//! even a REGISTERED one.
//!
//! Invariant: the listeners belong to this process only and close with the [`OpencrvsSim`] that
//! started them.

mod args;
mod auth;
mod caller;
mod connection;
mod core;
mod errors;
mod events;
mod fault;
mod faults;
mod gateway;
mod generations;
mod graphql;
mod keys;
mod load;
mod record;
mod records;
mod search;
mod server;
mod submit;
mod tally;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use clap::Parser;
use jiff::Timestamp;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use args::{OpencrvsArgs, run};
pub use errors::ErrorRow;
pub use events::{
    ActionRequest, ActionState, ActionSummary, Announced, Assignment, ClientCredentials, Credential,
    EventFile, EventsArgs, EventsBehaviour, EventsTally, Release, SystemClient, TokenRequests,
};
pub use fault::{Calls, Effect, Fault, Share, TransportFailure};
pub use faults::Faults;
pub use generations::Generations;
pub use keys::{Claims, ISSUER, TokenHash, UserType};
pub use load::RunOptions;
pub use record::{Attempt, CallResult, Confirmed, HistoryRow, Record, Status};
pub use records::{Exchanged, Records};
pub use submit::{SubmitOptions, SubmitOutcome};
pub use tally::{Counts, Tally};

use self::core::Core;
use self::server::Server;

/// Why a simulated OpenCRVS does not start or cannot submit.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A service cannot listen on its address.
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// No key could be made.
    #[error("cannot make an RSA key")]
    Key,
    /// A token could not be signed.
    #[error("cannot sign a token")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// The document lacks a part that OpenCRVS always sends.
    #[error("the document has no {0}")]
    Document(&'static str),
    /// A number in the arguments is out of range.
    #[error("{0}")]
    Argument(String),
}

/// Addresses and token lifetime of a simulated OpenCRVS. Port 0 takes a free port.
#[derive(Debug, Clone, Parser)]
pub struct OpencrvsSettings {
    /// Listen address of auth, for the bridge's `AUTH_URL`.
    #[arg(long = "auth-listen", default_value = "127.0.0.1:4040", value_name = "ADDRESS")]
    pub auth: SocketAddr,
    /// Listen address of the gateway, for the bridge's `GATEWAY_URL`.
    #[arg(long = "gateway-listen", default_value = "127.0.0.1:7070", value_name = "ADDRESS")]
    pub gateway: SocketAddr,
    /// Listen address of the country's configuration service, for the bridge's
    /// `COUNTRY_CONFIG_URL`.
    #[arg(long = "country-config-listen", default_value = "127.0.0.1:3035", value_name = "ADDRESS")]
    pub country_config: SocketAddr,
    /// Listen address of the events service on the inner network, where the country's integrations
    /// are registered.
    #[arg(long = "events-listen", default_value = "127.0.0.1:5555", value_name = "ADDRESS")]
    pub events: SocketAddr,
    /// Lifetime of a record token.
    #[arg(long = "token-lifetime", default_value_t = 604_800, value_name = "SECONDS",
          value_parser = clap::value_parser!(i64).range(0..=i64::from(u32::MAX)))]
    pub token_lifetime_s: i64,
    /// The release of OpenCRVS itself. Some records may be of older releases.
    #[arg(skip)]
    pub release: Release,
}

/// The defaults of the command line, but on free ports.
impl Default for OpencrvsSettings {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let parsed = Self::parse_from(["opencrvs"]);
        Self { auth: free, gateway: free, country_config: free, events: free, ..parsed }
    }
}

/// A service of OpenCRVS that listens on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Serves the public key and the token exchange.
    Auth,
    /// Serves GraphQL and tRPC.
    Gateway,
    /// The country's configuration service, which serves the form fields.
    CountryConfig,
    /// The events service on the inner network, which registers system clients.
    Events,
}

/// A running simulated OpenCRVS. Clones share it; it stops when the last clone is dropped.
#[derive(Clone)]
pub struct OpencrvsSim {
    core: Arc<Core>,
    auth: Arc<Server>,
    gateway: Arc<Server>,
    country_config: Arc<Server>,
    events: Arc<Server>,
    correlation: Arc<AtomicU64>,
    _until_dropped: Arc<DropGuard>,
}

impl OpencrvsSim {
    /// Makes a key and starts to listen.
    ///
    /// # Errors
    /// [`SimulateError`] when an address is taken or the machine has no randomness.
    pub async fn start(settings: OpencrvsSettings) -> Result<Self, SimulateError> {
        let core = Arc::new(Core::new(settings.token_lifetime_s, settings.release)?);
        let stop = CancellationToken::new();
        let auth = Server::bind(settings.auth, auth::router(Arc::clone(&core)), stop.clone()).await?;
        let gateway =
            Server::bind(settings.gateway, gateway::router(Arc::clone(&core)), stop.clone()).await?;
        let country = events::country_config(Arc::clone(&core));
        let country_config = Arc::new(Server::bind(settings.country_config, country, stop.clone()).await?);
        let inner = events::events_service(Arc::clone(&core));
        let events = Arc::new(Server::bind(settings.events, inner, stop.clone()).await?);
        let (auth, gateway) = (Arc::new(auth), Arc::new(gateway));
        let correlation = Arc::new(AtomicU64::new(1));
        Ok(Self {
            core,
            auth,
            gateway,
            country_config,
            events,
            correlation,
            _until_dropped: Arc::new(stop.drop_guard()),
        })
    }

    /// The value for `AUTH_URL`.
    pub fn auth_url(&self) -> String {
        format!("http://{}", self.auth.address())
    }

    /// The value for `GATEWAY_URL`.
    pub fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway.address())
    }

    /// The value for `COUNTRY_CONFIG_URL`.
    pub fn country_config_url(&self) -> String {
        format!("http://{}", self.country_config.address())
    }

    /// The URL of the events service on the inner network, `http://events:5555/` of a deployment.
    pub fn events_url(&self) -> String {
        format!("http://{}/", self.events.address())
    }

    /// Defines these fields on the country's forms instead of `child.nid`.
    pub fn define_fields(&self, fields: &[&str]) {
        self.core.define(fields);
    }

    /// Kills a service: its connections break, and nothing listens until [`OpencrvsSim::restart`].
    /// Work that began behind the service continues, and nothing that OpenCRVS stores is lost.
    pub async fn kill(&self, service: Service) {
        self.server(service).kill().await;
    }

    /// Starts a killed service again at the same address.
    ///
    /// # Errors
    /// [`SimulateError::Listen`] when another process has taken the address.
    pub async fn restart(&self, service: Service) -> Result<(), SimulateError> {
        self.server(service).restart().await
    }

    fn server(&self, service: Service) -> &Server {
        match service {
            Service::Auth => &self.auth,
            Service::Gateway => &self.gateway,
            Service::CountryConfig => &self.country_config,
            Service::Events => &self.events,
        }
    }

    /// The switches for faults.
    pub fn faults(&self) -> &Faults {
        &self.core.faults
    }

    pub fn inspect<T>(&self, read: impl FnOnce(&Records) -> T) -> T {
        self.core.with_records(|records| read(records))
    }

    pub fn record(&self, id: &str) -> Option<Record> {
        self.inspect(|records| records.record(id).cloned())
    }

    pub fn state(&self) -> Records {
        self.inspect(Records::clone)
    }

    /// The figures of the run so far.
    pub fn tally(&self) -> Tally {
        self.inspect(Tally::of)
    }

    /// The calls so far, and the faults that they met.
    pub fn counts(&self) -> Counts {
        self.core.counts()
    }

    /// The records that wait for the bridge's answer.
    pub fn waiting(&self) -> Vec<String> {
        self.in_status(Status::WaitingValidation)
    }

    /// The records in a state.
    pub fn in_status(&self, status: Status) -> Vec<String> {
        self.inspect(|records| {
            let found = records.all().filter(|(_, record)| record.status() == status);
            found.map(|(id, _)| id.to_owned()).collect()
        })
    }

    /// Changes the state of a record as a user may: certified, archived, rejected. Returns false if
    /// the record does not exist.
    pub fn set_status(&self, record: &str, status: Status) -> bool {
        self.core.with_records(|records| records.set_status(record, status, Timestamp::now()))
    }

    /// Replaces auth's key, as a redeploy may. Tokens that the old key signed become worthless.
    ///
    /// # Errors
    /// [`SimulateError::Key`] when the machine has no randomness.
    pub fn rotate_key(&self) -> Result<(), SimulateError> {
        self.core.rotate_key()
    }

    pub fn public_key(&self) -> String {
        self.core.with_key(|key| key.public_pem().to_owned())
    }

    /// The claims of the token that a submission of the record would carry.
    pub fn record_claims(&self, record: &str) -> Claims {
        let registrar = self.inspect(|records| records.record(record).map(|record| record.registrar.clone()));
        self.core.record_claims(&registrar.unwrap_or_else(|| format!("5f{:022x}", 0)), record)
    }

    /// The claims of the token that the trigger for this action would carry.
    pub fn action_claims(&self, event: &str, action: &str) -> Claims {
        let registrar = self.inspect(|records| records.record(event).map(|record| record.registrar.clone()));
        self.core.action_claims(&registrar.unwrap_or_else(|| format!("5f{:022x}", 0)), event, action)
    }

    /// A token of the registrar with this user id, with these scopes.
    ///
    /// # Errors
    /// [`SimulateError::Token`] when signing fails.
    pub fn user_token(&self, user: &str, scope: &[&str]) -> Result<String, SimulateError> {
        self.mint(&Claims::user(user, scope, Timestamp::now()))
    }

    /// Signs the claims, whatever they are, with auth's key.
    ///
    /// # Errors
    /// [`SimulateError::Token`] when signing fails.
    pub fn mint(&self, claims: &Claims) -> Result<String, SimulateError> {
        self.core.mint(claims)
    }
}

#[cfg(test)]
mod tests;
