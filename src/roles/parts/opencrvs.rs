//! Makes the clients of OpenCRVS.

use std::time::Duration;

use anyhow::Context as _;
use url::Url;

use crate::config::Config;
use crate::confirmer::UnheardSearch;
use crate::ledger::Ledger;
use crate::opencrvs::events::{EventSearch, MappedFields, SourceCheck};
use crate::opencrvs::{
    ClientCredentials, ClientSettings, KeyStore, KeyStoreSettings, Reading, ServiceClock, SystemClient,
    TokenExchange,
};
use crate::roles::Failure;
use crate::roles::clock::WatchedService;

pub(crate) fn client_settings(config: &Config, url: &Url) -> ClientSettings {
    ClientSettings {
        url: url.clone(),
        timeout: config.opencrvs.timeout,
        connect_timeout: config.opencrvs.connect_timeout,
        proxy: config.opencrvs.proxy.clone(),
    }
}

/// Whether the bridge has a system client in OpenCRVS, which answers in the events generation
/// without the token of an attempt. Only the confirmer needs the client's secret.
pub(crate) fn has_client(config: &Config) -> bool {
    config.opencrvs.client_id.is_some()
}

/// The clients for auth's public key and token exchange, for the tasks that renew or replace
/// tokens.
pub(crate) fn auth(config: &Config) -> Result<(KeyStore, TokenExchange), Failure> {
    let auth = client_settings(config, &config.opencrvs.auth_url);
    let exchange = TokenExchange::new(&auth).context("the HTTP client for auth cannot be made")?;
    let keys = KeyStoreSettings {
        auth,
        refetch: config.opencrvs.key_refetch,
        cache: None,
        service_users: config.opencrvs.service_user.clone(),
    };
    Ok((KeyStore::new(keys).context("the HTTP client for auth cannot be made")?, exchange))
}

/// The clock of auth.
pub(crate) fn auth_clock(config: &Config) -> Result<WatchedService, Failure> {
    clock("AUTH_URL (opencrvs.auth_url)", config, &config.opencrvs.auth_url)
}

/// The clock of the gateway.
pub(crate) fn gateway_clock(config: &Config) -> Result<WatchedService, Failure> {
    clock("GATEWAY_URL (opencrvs.gateway_url)", config, &config.opencrvs.gateway_url)
}

fn clock(setting: &'static str, config: &Config, url: &Url) -> Result<WatchedService, Failure> {
    let clock = ServiceClock::new(&client_settings(config, url));
    Ok(WatchedService { setting, clock: clock.context("the HTTP client for a clock cannot be made")? })
}

/// Id and secrets of the bridge's own client in OpenCRVS, if one is configured.
pub(crate) fn client_credentials(config: &Config) -> Option<ClientCredentials> {
    Some(ClientCredentials {
        id: config.opencrvs.client_id.clone()?,
        secret: config.opencrvs.client_secret.clone()?,
        next_secret: config.opencrvs.client_secret_next.clone(),
    })
}

/// The bridge's own client in OpenCRVS, if one is configured.
pub(crate) fn system_client(config: &Config) -> Result<Option<SystemClient>, Failure> {
    let Some(credentials) = client_credentials(config) else { return Ok(None) };
    let client = SystemClient::new(&client_settings(config, &config.opencrvs.gateway_url), credentials);
    Ok(Some(client.context("the HTTP client for the gateway cannot be made")?))
}

/// The form fields that an answer writes in the events dialect, if any are configured.
pub(crate) fn mapped_fields(config: &Config) -> Result<Option<MappedFields>, Failure> {
    let (Some(mapping), Some(url)) = (config.confirm.mapping(), &config.opencrvs.country_config_url) else {
        return Ok(None);
    };
    let country = client_settings(config, url);
    let fields = MappedFields::new(&country, mapping, config.confirm.field_recheck);
    Ok(Some(fields.context("the HTTP client for the country's configuration service cannot be made")?))
}

/// How documents are read.
pub(crate) fn reading(config: &Config) -> Reading {
    let fields = config.fields.clone();
    let identifier_type = config.confirm.identifier_type.clone();
    let zone = config.number.time_zone.clone();
    Reading::new(identifier_type, fields.fhir, fields.events).in_zone(zone)
}

/// The check of the fields that documents of the events generation are read from. `None` if there
/// is no configuration service to ask.
pub(crate) fn source_check(config: &Config, reading: &Reading) -> Result<Option<SourceCheck>, Failure> {
    let Some(url) = &config.opencrvs.country_config_url else { return Ok(None) };
    let check = SourceCheck::new(&client_settings(config, url), reading.clone());
    Ok(Some(check.context("the HTTP client for the country's configuration service cannot be made")?))
}

/// The search for registrations that have waited in OpenCRVS for longer than `after` and are not in
/// the ledger.
pub(crate) fn unheard_search(
    config: &Config,
    ledger: &Ledger,
    after: Duration,
    reading: &Reading,
) -> Result<UnheardSearch, Failure> {
    let search = EventSearch::new(&client_settings(config, &config.opencrvs.gateway_url))
        .context("the HTTP client for the gateway cannot be made")?;
    Ok(UnheardSearch { ledger: ledger.clone(), search, reading: reading.clone(), after })
}
