//! The running simulation: its services, its switches, and what it has stored.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::caller::Caller;
use super::core::Core;
use super::faults::Faults;
use super::keys::Claims;
use super::record::{Record, Status};
use super::records::Records;
use super::server::Server;
use super::tally::{Counts, Tally};
use super::{OpencrvsSettings, Service, SimulateError, auth, events, gateway};

/// A running simulated OpenCRVS. Clones share it; it stops when the last clone is dropped.
#[derive(Clone)]
pub struct OpencrvsSim {
    pub(super) core: Arc<Core>,
    auth: Arc<Server>,
    gateway: Arc<Server>,
    country_config: Arc<Server>,
    events: Arc<Server>,
    pub(super) caller: Arc<Caller>,
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
        let caller = Arc::new(Caller::new()?);
        Ok(Self {
            core,
            auth,
            gateway,
            country_config,
            events,
            caller,
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
