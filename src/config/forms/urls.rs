//! The URLs of services and of the ledger.
//!
//! Invariant: neither a fault nor a shown value holds a user, a password, or the query of a
//! PostgreSQL URL.

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
                Ok(_) if is_unencoded(text) => Err(NOT_ENCODED.to_owned()),
                Ok(_) => Ok(SecretString::from(text)),
                Err(_) => Err(NOT_A_URL.to_owned()),
            },
            _ => Err("begins with neither sqlite: nor postgres:".to_owned()),
        }
    }

    fn show(text: &str) -> String {
        if text.starts_with("sqlite:") { text.to_owned() } else { masked(text) }
    }
}

/// The fault of a text that cannot be parsed, most often because of a password.
pub(super) const NOT_A_URL: &str = "is not a URL (percent-encode a password)";
/// The fault of a URL with a reserved character in its user, password, vhost or database.
pub(super) const NOT_ENCODED: &str = "has a user, a password or a name after the host that is not percent-encoded: write \
                                      `%` as %25, `/` as %2F, `@` as %40, `#` as %23, `?` as %3F and `:` as %3A there";

/// Whether a user, a password or a name after the host holds a reserved character that is not
/// percent-encoded. Such a URL cannot be parsed, or its parts are not what was meant: in
/// `amqp://user:1/2@host/vhost`, the host is `user` and its port 1.
pub(super) fn is_unencoded(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = tail.split('?').next().unwrap_or_default();
    let is_escape = |hex: &[u8]| hex.len() == 2 && hex.iter().all(u8::is_ascii_hexdigit);
    let odd_escape = |part: &str| {
        let rest = |at: usize| part.as_bytes().get(at + 1..at + 3).unwrap_or_default();
        part.match_indices('%').any(|(at, _)| !is_escape(rest(at)))
    };
    tail.contains('#')
        || path.contains('@')
        || (tail.contains('@') && !authority.contains('@'))
        || odd_escape(authority)
        || odd_escape(path)
}

/// A URL without its credentials and its query, either of which may hold a password.
pub(super) fn masked(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return "(set)".to_owned() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let who = if url.username().is_empty() && url.password().is_none() { "" } else { "***@" };
    let query = if url.query().is_some() { "?***" } else { "" };
    format!("{}://{who}{}{port}{}{query}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}
