//! How the text of a setting is read: one form for each type of value.
//!
//! Invariant: a form refuses what it does not read, and its refusal never quotes the text, which
//! may be a secret.

mod amqp;
mod client;
mod country;
mod quantity;
mod urls;

use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

pub(super) use amqp::{AmqpUrl, each_host};
pub(super) use client::{Kinds, Renewable};
pub(super) use country::{EventsSources, FhirSources, Mapping, Negative, Scope, Template, Zone};
pub use quantity::duration;
pub(super) use quantity::{Size, Span, Steps};
pub(super) use urls::{HttpUrl, LedgerUrl, SecretUrl};

use super::setting::Form;
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

/// One or more names, separated by commas.
pub(super) struct Names;

impl Form for Names {
    type Value = Vec<String>;
    const EXPECTED: &'static str = "one name, or several with commas between them";

    fn parse(text: &str) -> Result<Vec<String>, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        let names: Vec<String> = names.collect();
        if names.is_empty() { Err("contains no name".to_owned()) } else { Ok(names) }
    }
}

/// Networks and single addresses, separated by commas; perhaps none.
pub(super) struct Networks;

impl Form for Networks {
    type Value = Vec<IpNet>;
    const EXPECTED: &'static str = "networks such as 10.0.0.0/8,192.168.1.7, with commas between them";

    fn parse(text: &str) -> Result<Vec<IpNet>, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let network = |name: &str| name.parse().or_else(|_| name.parse::<IpAddr>().map(IpNet::from));
        names.map(network).collect::<Result<_, _>>().map_err(|_| "contains something else".to_owned())
    }
}

pub(super) struct Switch;

impl Form for Switch {
    type Value = bool;
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| "is neither".to_owned())
    }
}

pub(super) struct Positive<T>(PhantomData<T>);

impl<T: FromStr + PartialOrd + From<u8>> Form for Positive<T> {
    type Value = T;
    const EXPECTED: &'static str = "a whole number of at least 1";

    fn parse(text: &str) -> Result<T, String> {
        let number: T = text.parse().map_err(|_| "is not a whole number, or too large".to_owned())?;
        if number < T::from(1) { Err("is less than 1".to_owned()) } else { Ok(number) }
    }
}

/// A percentage from 1 to 99.
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

pub(super) struct Listen;

impl Form for Listen {
    type Value = SocketAddr;
    const EXPECTED: &'static str = "an address and a port such as 0.0.0.0:3040";

    fn parse(text: &str) -> Result<SocketAddr, String> {
        text.parse().map_err(|_| "is not an address and a port".to_owned())
    }
}

/// A text that is never shown, neither in `config show` nor in a fault.
pub(super) struct SecretText;

impl Form for SecretText {
    type Value = SecretString;
    const EXPECTED: &'static str = "a text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<SecretString, String> {
        Text::parse(text).map(SecretString::from)
    }
}

/// Keys in the form that [`Sealer::parse`] reads. An empty text is allowed here; a later check
/// refuses it for the roles that need keys.
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

pub(super) struct Path;

impl Form for Path {
    type Value = PathBuf;
    const EXPECTED: &'static str = "a path";

    fn parse(text: &str) -> Result<PathBuf, String> {
        if text.is_empty() { Err("is empty".to_owned()) } else { Ok(PathBuf::from(text)) }
    }
}

/// A setting that may be left out: an empty text means `None`.
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

/// A switch that is written as a word.
pub(super) struct OnOff;

impl Form for OnOff {
    type Value = bool;
    const EXPECTED: &'static str = "on or off";

    fn parse(text: &str) -> Result<bool, String> {
        match text {
            "on" | "true" => Ok(true),
            "off" | "false" => Ok(false),
            _ => Err("is neither".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

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
