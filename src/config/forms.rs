//! The forms in which settings are written, each with the type that it becomes.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::setting::Form;
use crate::domain::{NegativePolicy, NumberTemplate};
use crate::seal::Sealer;

/// Any text that is not empty.
pub(super) struct Text;

impl Form for Text {
    type Value = String;
    const EXPECTED: &'static str = "a text";

    fn parse(text: &str) -> Result<String, String> {
        if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text.to_owned()) }
    }
}

/// `true` or `false`.
pub(super) struct Switch;

impl Form for Switch {
    type Value = bool;
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| "is neither".to_owned())
    }
}

/// A whole number of at least one.
pub(super) struct Positive<T>(PhantomData<T>);

impl<T: FromStr + PartialOrd + From<u8>> Form for Positive<T> {
    type Value = T;
    const EXPECTED: &'static str = "a whole number of at least 1";

    fn parse(text: &str) -> Result<T, String> {
        let number: T = text.parse().map_err(|_| "is not a whole number, or too large".to_owned())?;
        if number < T::from(1) { Err("is less than 1".to_owned()) } else { Ok(number) }
    }
}

/// A share of a whole, of which something is left.
pub(super) struct Percent;

impl Form for Percent {
    type Value = u8;
    const EXPECTED: &'static str = "a percentage from 1 to 99";

    fn parse(text: &str) -> Result<u8, String> {
        match text.parse() {
            Ok(percent @ 1..=99) => Ok(percent),
            Ok(_) | Err(_) => Err("is not a whole number from 1 to 99".to_owned()),
        }
    }
}

/// An address and a port.
pub(super) struct Listen;

impl Form for Listen {
    type Value = SocketAddr;
    const EXPECTED: &'static str = "an address and a port such as 0.0.0.0:3040";

    fn parse(text: &str) -> Result<SocketAddr, String> {
        text.parse().map_err(|_| "is not an address and a port".to_owned())
    }
}

/// A duration.
pub(super) struct Span;

impl Form for Span {
    type Value = Duration;
    const EXPECTED: &'static str = "a duration such as 500ms, 5s, 10m, 24h or 7d";

    fn parse(text: &str) -> Result<Duration, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or("has no unit")?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| "does not start with a whole number")?;
        let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
        let span = match unit {
            "ms" => Some(Duration::from_millis(number)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3_600),
            "d" => seconds(86_400),
            _ => return Err("has a unit that is none of ms, s, m, h, d".to_owned()),
        };
        match span {
            Some(span) if span.is_zero() => Err("is nothing at all".to_owned()),
            Some(span) if span <= Duration::from_secs(3_650 * 86_400) => Ok(span),
            Some(_) | None => Err("is longer than ten years".to_owned()),
        }
    }
}

/// Reads a duration as the settings write it: `500ms`, `5s`, `10m`, `24h`, `7d`.
///
/// # Errors
/// What is wrong with it.
pub fn span(text: &str) -> Result<Duration, String> {
    Span::parse(text).map_err(|why| format!("{why}: write {}", Span::EXPECTED))
}

/// A rising list of durations.
pub(super) struct Steps;

impl Form for Steps {
    type Value = Vec<Duration>;
    const EXPECTED: &'static str = "rising durations such as 5s,30s,2m";

    fn parse(text: &str) -> Result<Vec<Duration>, String> {
        let steps: Vec<Duration> =
            text.split(',').map(|step| Span::parse(step.trim())).collect::<Result<_, _>>()?;
        if steps.is_sorted_by(|a, b| a < b) {
            Ok(steps)
        } else {
            Err("does not rise at every step".to_owned())
        }
    }
}

/// A number of bytes.
pub(super) struct Size;

impl Form for Size {
    type Value = usize;
    const EXPECTED: &'static str = "a size such as 64KiB or 50MiB";

    fn parse(text: &str) -> Result<usize, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: usize = number.parse().map_err(|_| "does not start with a whole number")?;
        let each: usize = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err("has a unit that is none of B, KiB, MiB, GiB".to_owned()),
        };
        match number.checked_mul(each) {
            Some(0) => Err("is nothing at all".to_owned()),
            Some(size) => Ok(size),
            None => Err("is larger than this machine can count".to_owned()),
        }
    }
}

/// The address of a service.
pub(super) struct HttpUrl;

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

/// An address that may itself be a secret: only its host is ever shown.
pub(super) struct WebhookUrl;

impl Form for WebhookUrl {
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

/// A text that is never shown.
pub(super) struct SecretText;

impl Form for SecretText {
    type Value = SecretString;
    const EXPECTED: &'static str = "a text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<SecretString, String> {
        Text::parse(text).map(SecretString::from)
    }
}

/// Where a broker is, with the credentials and the vhost.
pub(super) struct AmqpUrl;

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

/// Where the ledger is.
pub(super) struct LedgerUrl;

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

/// The keys that seal.
pub(super) struct Keys;

impl Form for Keys {
    type Value = SecretString;
    const EXPECTED: &'static str = "id:base64[,id:base64…] with keys of 32 bytes";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<SecretString, String> {
        let keys = SecretString::from(text);
        if !text.is_empty() {
            Sealer::parse(&keys).map_err(|why| why.to_string())?;
        }
        Ok(keys)
    }
}

/// A file or directory.
pub(super) struct Path;

impl Form for Path {
    type Value = PathBuf;
    const EXPECTED: &'static str = "a path";

    fn parse(text: &str) -> Result<PathBuf, String> {
        if text.is_empty() { Err("is empty".to_owned()) } else { Ok(PathBuf::from(text)) }
    }
}

/// Something that may be left out.
pub(super) struct Optional<F>(PhantomData<F>);

impl<F: Form> Form for Optional<F> {
    type Value = Option<F::Value>;
    const EXPECTED: &'static str = F::EXPECTED;
    const SECRET: bool = F::SECRET;

    fn parse(text: &str) -> Result<Option<F::Value>, String> {
        if text.is_empty() { Ok(None) } else { F::parse(text).map(Some) }
    }

    fn show(text: &str) -> String {
        F::show(text)
    }
}

/// The template of registration numbers.
pub(super) struct Template;

impl Form for Template {
    type Value = NumberTemplate;
    const EXPECTED: &'static str = "a text with {tracking_id}, and {year}, {event} or {office} if wanted";

    fn parse(text: &str) -> Result<NumberTemplate, String> {
        NumberTemplate::parse(text).map_err(|why| format!("cannot be used: {why}"))
    }
}

/// What to do with a negative answer.
pub(super) struct Negative;

impl Form for Negative {
    type Value = NegativePolicy;
    const EXPECTED: &'static str = "hold or confirm_with_comment";

    fn parse(text: &str) -> Result<NegativePolicy, String> {
        match text {
            "hold" => Ok(NegativePolicy::Hold),
            "confirm_with_comment" | "confirm-with-comment" => Ok(NegativePolicy::ConfirmWithComment),
            _ => Err("is neither".to_owned()),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object on each line.
    Json,
}

/// The name of a [`LogFormat`].
pub(super) struct LogFormatName;

impl Form for LogFormatName {
    type Value = LogFormat;
    const EXPECTED: &'static str = "text or json";

    fn parse(text: &str) -> Result<LogFormat, String> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("is neither".to_owned()),
        }
    }
}

/// What is logged.
pub(super) struct LogFilter;

impl Form for LogFilter {
    type Value = String;
    const EXPECTED: &'static str = "a level, or target=level pairs such as info,nidbridge=debug";

    fn parse(text: &str) -> Result<String, String> {
        match EnvFilter::try_new(text) {
            Ok(_) if !text.is_empty() => Ok(text.to_owned()),
            Ok(_) | Err(_) => Err("is not a filter".to_owned()),
        }
    }
}
