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
mod call;
mod caller;
mod calls;
mod connection;
mod core;
mod errors;
mod events;
mod fault;
mod faults;
mod gateway;
mod generations;
mod graphql;
mod invent;
mod keys;
mod load;
mod record;
mod records;
mod search;
mod server;
mod sim;
mod subject;
mod submit;
mod tally;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Parser;

pub use args::{OpencrvsArgs, run};
pub use calls::{Calls, Share};
pub use errors::ErrorRow;
pub use events::{
    ActionRequest, ActionState, ActionSummary, Announced, Assignment, ClientCredentials, Credential,
    EventFile, EventsArgs, EventsBehaviour, EventsTally, Release, SystemClient, TokenRequests,
};
pub use fault::{Effect, Failure, Fault};
pub use faults::Faults;
pub use generations::{Generation, Generations};
pub use keys::{Claims, ISSUER, TokenHash, UserType};
pub use load::RunOptions;
pub use record::{Attempt, CallResult, Confirmed, HistoryRow, Record, Status};
pub use records::{Exchanged, Records};
pub use sim::OpencrvsSim;
pub use submit::{SubmitOptions, SubmitOutcome};
pub use tally::{Counts, Tally};

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
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
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

#[cfg(test)]
mod tests;
