//! OpenCRVS on the wire: what it sends us, how its tokens are checked, how it is told.
//!
//! The FHIR generation (1.7–1.9): a bundle comes in ([`fhir`]), a GraphQL mutation goes out ([`Gateway`]). The events
//! generation (1.9–2.x): an event document comes in ([`events`]), a tRPC call goes out.
//!
//! Invariant: a token is in no error, no log line and no URL that is logged; an error in an HTTP 200 is an error.

mod document;
pub mod events;
mod exchange;
pub mod fhir;
mod gateway;
#[cfg(feature = "inlets")]
pub mod inlet;
mod keys;
mod token;

use std::time::Duration;

use url::Url;

pub use document::Document;
pub use exchange::{RenewalFault, TokenExchange};
pub use gateway::{
    Confirmation, FaultClass, Gateway, GatewayFault, Seen, UserToken, UserTokenFault, Waiting, WaitingList,
};
pub use keys::{KeyId, KeyStore, KeyStoreSettings};
pub use token::{RecordToken, TokenFault};
pub(crate) use token::{action_of, may_reject_record};

/// How the services of OpenCRVS are reached.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The base URL of the service.
    pub url: Url,
    /// The limit for a request with its answer.
    pub timeout: Duration,
    /// The limit for a connection.
    pub connect_timeout: Duration,
}

/// How a call failed on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// It never left.
    Unreachable,
    /// No complete answer within the time.
    TimedOut,
    /// The connection ended before the answer was complete.
    BrokenOff,
}

impl Lost {
    fn of(error: &reqwest::Error) -> Self {
        if error.is_connect() || error.is_builder() {
            Self::Unreachable
        } else if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::BrokenOff
        }
    }
}

/// More than any answer of these services; what is longest is the event configuration of a country.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// Why an answer is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unwhole {
    /// It broke off.
    BrokenOff,
    /// It is longer than an answer could be: somebody else is there, and may never end.
    TooLong,
}

/// The body of an answer.
async fn whole(mut answer: reqwest::Response) -> Result<Vec<u8>, Unwhole> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| Unwhole::BrokenOff)? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(Unwhole::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A client whose idle connections are dropped before the gateway drops them (node closes after 5 s; a request on such
/// a connection is lost, and nobody can say whether it arrived).
fn client(settings: &ClientSettings) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .timeout(settings.timeout)
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(Duration::from_millis(2_500))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("nidbridge/", env!("CARGO_PKG_VERSION")))
        .build()
}
