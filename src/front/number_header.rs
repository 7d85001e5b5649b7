//! The header `X-Registration-Number`, in which the country's own handler gives its number.
//!
//! Invariant: a number that is given is taken as it is or refused, never replaced.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret as _;

use super::Refusal;
use crate::config::SecretSource;
use crate::domain::RegistrationNumber;

const NUMBER: &str = "x-registration-number";
const SECRET: &str = "x-registration-number-secret";

/// Whether the header counts.
#[derive(Debug, Clone)]
pub enum NumberHeader {
    Off,
    On,
    /// Only with this secret.
    WithSecret(SecretSource),
}

impl NumberHeader {
    pub(super) async fn read(&self, headers: &HeaderMap) -> Result<Option<RegistrationNumber>, Refusal> {
        let mut given = headers.get_all(NUMBER).iter().filter(|number| !number.is_empty());
        let Some(number) = given.next() else { return Ok(None) };
        let is_only_one = given.all(|other| other == number);
        match self {
            Self::Off => {
                tracing::warn!("X-Registration-Number was ignored: NUMBER_HEADER is off");
                return Ok(None);
            }
            Self::On => {}
            Self::WithSecret(source) => {
                let given = headers.get(SECRET).map(HeaderValue::as_bytes).unwrap_or_default();
                let secret = source.read().await.map_err(|_| Refusal::NumberSecret)?;
                verify_slices_are_equal(given, secret.expose_secret().as_bytes())
                    .map_err(|_| Refusal::NumberSecret)?;
            }
        }
        let number = number.to_str().ok().and_then(|number| RegistrationNumber::parse(number.trim()).ok());
        number.filter(|_| is_only_one).map(Some).ok_or(Refusal::UnusableNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(number: &str, secret: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(NUMBER, number.parse().unwrap());
        if let Some(secret) = secret {
            headers.insert(SECRET, secret.parse().unwrap());
        }
        headers
    }

    #[tokio::test]
    async fn a_given_number_is_taken_as_it_is_or_refused_and_only_from_whom_it_may_come() {
        let read = async |header: &NumberHeader, number: &str, secret: Option<&str>| {
            let read = header.read(&headers(number, secret)).await;
            read.map(|number| number.map(|number| number.as_str().to_owned())).map_err(|why| why.label())
        };
        let number = Some("0001/2025".to_owned());
        assert_eq!(read(&NumberHeader::Off, "0001/2025", None).await, Ok(None));
        assert_eq!(read(&NumberHeader::On, " 0001/2025 ", None).await, Ok(number.clone()));
        assert_eq!(read(&NumberHeader::On, "", None).await, Ok(None));
        for unusable in ["  ", &"9".repeat(1_000)] {
            assert_eq!(read(&NumberHeader::On, unusable, None).await, Err("number_refused"), "{unusable}");
        }
        let bound = NumberHeader::WithSecret(SecretSource::Value("hush".to_owned().into()));
        assert_eq!(read(&bound, "0001/2025", Some("hush")).await, Ok(number));
        for wrong in [None, Some(""), Some("hus"), Some("husk"), Some("hush-hush")] {
            assert_eq!(read(&bound, "0001/2025", wrong).await, Err("number_refused"), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn twenty_numbers_of_as_many_countries_are_taken_as_they_are_or_refused() {
        let read = async |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(NUMBER, HeaderValue::from_bytes(value).unwrap());
            }
            let read = NumberHeader::On.read(&headers).await;
            read.map(|number| number.map(|number| number.as_str().to_owned())).map_err(|why| why.label())
        };
        for number in [
            "0001/2025",
            "1/2025",
            "00000001",
            "B-2025-000123",
            "2025BXXDBIC",
            "12.345.678-9",
            "A/12/0034",
            "1",
            "REG 12 of 2025",
            "2025/BIRTH/KLOW/0042",
            "(12)34",
            "x_1",
            "12:34",
            "a+b",
            "#7",
        ] {
            assert_eq!(read(&[number.as_bytes()]).await, Ok(Some(number.to_owned())), "{number}");
        }
        for unusable in [&b"\t"[..], b"12\t34", "০০০১/২০২৫".as_bytes(), b"caf\xe9", &[b'9'; 65]]
        {
            assert_eq!(read(&[unusable]).await, Err("number_refused"), "{unusable:?}");
        }
        assert_eq!(read(&[b"1", b"2"]).await, Err("number_refused"), "which of them?");
        assert_eq!(read(&[b"1", b"", b"1"]).await, Ok(Some("1".to_owned())));
    }
}
