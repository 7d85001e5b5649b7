//! Texts of a configuration, read into the types that the bridge uses.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::sections::LogFormat;
use crate::domain::NegativePolicy;

/// A type that a setting can have. The error says what is expected, not what was found.
pub(super) trait Value: Sized {
    fn read(text: &str) -> Result<Self, String>;
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Value for SecretString {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            _ => Err("write true or false".into()),
        }
    }
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "write address:port, such as 0.0.0.0:3040".into())
    }
}

impl Value for Url {
    fn read(text: &str) -> Result<Self, String> {
        let url = Self::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.filter(Self::has_host).ok_or_else(|| "write an http:// or https:// URL".into())
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        let expected = || "write a duration such as 500ms, 5s, 2m, 24h or 7d".to_owned();
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let unit_ms: u64 = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(expected()),
        };
        number.checked_mul(unit_ms).map(Self::from_millis).ok_or_else(expected)
    }
}

/// A list of durations, separated by commas.
impl Value for Vec<Duration> {
    fn read(text: &str) -> Result<Self, String> {
        text.split(',').map(|part| Duration::read(part.trim())).collect()
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) usize);

impl Value for Bytes {
    fn read(text: &str) -> Result<Self, String> {
        let expected = || "write a size such as 65536, 64KiB or 50MiB".to_owned();
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: usize = number.parse().map_err(|_| expected())?;
        let unit = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(expected()),
        };
        number.checked_mul(unit).map(Self).ok_or_else(expected)
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn read(text: &str) -> Result<Self, String> {
                let number = text.parse::<$type>().ok().filter(|number| *number > 0);
                number.ok_or_else(|| format!("write a whole number from 1 to {}", <$type>::MAX))
            }
        }
    )*};
}
numbers!(u16, u32, u64);

impl Value for NegativePolicy {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "hold" => Ok(Self::Hold),
            "confirm_with_comment" => Ok(Self::ConfirmWithComment),
            _ => Err("write hold or confirm_with_comment".into()),
        }
    }
}

impl Value for LogFormat {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("write json or text".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_with_their_units_and_refused_without() {
        assert_eq!(Duration::read("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(Duration::read("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "5", "s", "-5s", "5 parsecs", "99999999999999999d"] {
            assert!(Duration::read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Bytes::read("50MiB"), Ok(Bytes(52_428_800)));
        assert!(Bytes::read("50MB").is_err());
        assert!(u16::read("0").is_err() && u16::read("65536").is_err());
    }
}
