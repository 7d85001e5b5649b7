//! The URLs of services, of the broker and of the ledger.
//!
//! Invariant: neither a fault nor a shown value holds a user, a password, or the query of a broker
//! or PostgreSQL URL.

use secrecy::SecretString;
use url::Url;

use crate::config::setting::Form;

/// The address of an HTTP service.
pub(in crate::config) struct HttpUrl;

impl Form for HttpUrl {
    type Value = Url;
    const EXPECTED: &'static str = "a URL such as http://gateway:7070";

    fn parse(text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|_| "is not a URL".to_owned())?;
        match url.scheme() {
            "http" | "https" if url.host_str().is_none() => Err("names no host".to_owned()),
            "http" | "https" if !url.username().is_empty() || url.password().is_some() => {
                Err("holds credentials, which are not used here: leave them out".to_owned())
            }
            "http" | "https" => Ok(url),
            _ => Err("does not begin with http:// or https://".to_owned()),
        }
    }
}

/// An HTTP URL that may hold a secret: only scheme and host are ever shown.
pub(in crate::config) struct SecretUrl;

impl Form for SecretUrl {
    type Value = SecretString;
    const EXPECTED: &'static str = "a URL such as https://alerts.example/hooks/nidbridge";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<SecretString, String> {
        let url = Url::parse(text).map_err(|_| "is not a URL".to_owned())?;
        match url.scheme() {
            "http" | "https" if url.host_str().is_none() => Err("names no host".to_owned()),
            "http" | "https" => Ok(SecretString::from(text)),
            _ => Err("does not begin with http:// or https://".to_owned()),
        }
    }

    fn show(text: &str) -> String {
        let url = Url::parse(text).ok();
        let host = url.as_ref().and_then(|url| Some((url.scheme(), url.host_str()?)));
        host.map_or_else(|| "(set)".to_owned(), |(scheme, host)| format!("{scheme}://{host}/***"))
    }
}

/// An AMQP URL with credentials and vhost.
pub(in crate::config) struct AmqpUrl;

impl Form for AmqpUrl {
    type Value = SecretString;
    const EXPECTED: &'static str = "a URL such as amqp://user:password@host:5672/vhost";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<SecretString, String> {
        let url = Url::parse(text).map_err(|_| "is not a URL (percent-encode a password)".to_owned())?;
        match url.scheme() {
            "amqp" | "amqps" if url.host_str().is_none_or(str::is_empty) => Err("names no host".to_owned()),
            "amqp" | "amqps" if url.path().trim_start_matches('/').is_empty() => {
                Err("names no vhost: end it with /nidbridge or %2f".to_owned())
            }
            "amqp" | "amqps" => Ok(SecretString::from(text)),
            _ => Err("does not begin with amqp:// or amqps://".to_owned()),
        }
    }

    fn show(text: &str) -> String {
        masked(text)
    }
}

pub(in crate::config) struct LedgerUrl;

impl Form for LedgerUrl {
    type Value = SecretString;
    const EXPECTED: &'static str = "sqlite://file.db or postgres://user:password@host/database";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<SecretString, String> {
        let (scheme, rest) = text.split_once(':').ok_or("is not a URL")?;
        match scheme {
            "sqlite" if rest.trim_start_matches('/').is_empty() => Err("names no file".to_owned()),
            "sqlite" => Ok(SecretString::from(text)),
            "postgres" | "postgresql" => match Url::parse(text) {
                Ok(_) => Ok(SecretString::from(text)),
                Err(_) => Err("is not a URL (percent-encode a password)".to_owned()),
            },
            _ => Err("begins with neither sqlite: nor postgres:".to_owned()),
        }
    }

    fn show(text: &str) -> String {
        if text.starts_with("sqlite:") { text.to_owned() } else { masked(text) }
    }
}

/// A URL without its credentials and its query, either of which may hold a password.
fn masked(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return "(set)".to_owned() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let who = if url.username().is_empty() && url.password().is_none() { "" } else { "***@" };
    let query = if url.query().is_some() { "?***" } else { "" };
    format!("{}://{who}{}{port}{}{query}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}
