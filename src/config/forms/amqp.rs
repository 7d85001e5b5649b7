//! The URL of the broker: credentials, one or more hosts, and a vhost.
//!
//! Invariant: as in [`urls`](super::urls), no fault and no shown value holds a user, a password or a
//! query.

use secrecy::SecretString;
use url::{ParseError, Url};

use super::urls::{NOT_A_URL, NOT_ENCODED, is_unencoded, masked};
use crate::config::setting::Form;

/// An AMQP URL with credentials and vhost. Several hosts, each with its port, are separated by
/// commas.
pub(in crate::config) struct AmqpUrl;

impl Form for AmqpUrl {
    type Value = SecretString;
    const EXPECTED: &'static str =
        "a URL such as amqp://user:password@host:5672/vhost (or @host1:5672,host2:5672/vhost)";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<SecretString, String> {
        if is_unencoded(text) {
            return Err(NOT_ENCODED.to_owned());
        }
        for url in each_host(text) {
            check(&url)?;
        }
        Ok(SecretString::from(text))
    }

    fn show(text: &str) -> String {
        each_host(text).iter().map(|url| masked(url)).collect::<Vec<_>>().join(", ")
    }
}

fn check(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|fault| {
        let why = if fault == ParseError::EmptyHost { "names no host" } else { NOT_A_URL };
        why.to_owned()
    })?;
    let is_external = url
        .query_pairs()
        .any(|(name, value)| name == "auth_mechanism" && value.eq_ignore_ascii_case("external"));
    match url.scheme() {
        "amqp" | "amqps" if url.host_str().is_none_or(str::is_empty) => Err("names no host".to_owned()),
        // The client would connect to localhost.
        "amqp" | "amqps" if url.host_str().is_some_and(|host| host.starts_with('[')) => {
            Err("names an IPv6 address, which is not supported here: write the name of the host".to_owned())
        }
        "amqp" | "amqps" if url.path().trim_start_matches('/').is_empty() => {
            Err("names no vhost: end it with /nidbridge or %2f".to_owned())
        }
        "amqp" | "amqps" if is_external && url.username().is_empty() => Err(
            "names no user: also with auth_mechanism=external, write the user that RabbitMQ finds in the \
                 certificate before the host"
                .to_owned(),
        ),
        "amqp" | "amqps" => Ok(()),
        _ => Err("does not begin with amqp:// or amqps://".to_owned()),
    }
}

/// The same URL for each of its hosts.
pub(in crate::config) fn each_host(text: &str) -> Vec<String> {
    let Some((scheme, rest)) = text.split_once("://") else { return vec![text.to_owned()] };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (who, hosts) = match authority.rsplit_once('@') {
        Some((who, hosts)) => (format!("{who}@"), hosts),
        None => (String::new(), authority),
    };
    hosts.split(',').map(|host| format!("{scheme}://{who}{}{tail}", host.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        let fault = AmqpUrl::parse(text).unwrap_err();
        assert!(!fault.contains("s3") && !fault.contains("cret"), "{fault}");
        fault
    }

    #[test]
    fn a_reserved_character_that_is_not_percent_encoded_is_named_as_the_fault() {
        for text in [
            "amqp://user:s3/cret@mq:5672/v",
            "amqp://user:123/cret@mq:5672/v",
            "amqp://user:s3#cret@mq:5672/v",
            "amqp://user:123#cret@mq:5672/v",
            "amqp://user:s3?cret@mq:5672/v",
            "amqp://user:s3%cret@mq:5672/v",
            "amqp://user:s3%2@mq:5672/v",
            "amqp://user:s3@x/cret@mq:5672/v",
            "amqp://us/er:s3cret@mq:5672/v",
            "amqp://user:s3cret@mq:5672/v%zz",
            "amqp://user:s3cret@mq:5672/v#x",
        ] {
            assert!(fault(text).contains("not percent-encoded"), "{text}");
        }
        for text in ["amqp://user:s3%2Fcret%25@mq:5672/v", "amqps://mq/%2f", "amqp://u:a,b@mq1,mq2:5673/v"] {
            assert!(AmqpUrl::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn each_host_of_a_list_gets_a_url_of_its_own() {
        let all = each_host("amqps://u:a,b@mq1:5671,mq2/v?heartbeat=1");
        assert_eq!(all, ["amqps://u:a,b@mq1:5671/v?heartbeat=1", "amqps://u:a,b@mq2/v?heartbeat=1"]);
        assert_eq!(each_host("amqp://mq/v"), ["amqp://mq/v"]);
        let shown = AmqpUrl::show("amqp://u:p@mq1:5672,mq2/v?x=y");
        assert_eq!(shown, "amqp://***@mq1:5672/v?***, amqp://***@mq2/v?***");
    }

    #[test]
    fn what_the_client_would_misread_is_a_fault() {
        for (text, why) in [
            ("amqp://u:p@mq1,,mq2/v", "names no host"),
            ("amqp://u:p@mq1,mq2", "names no vhost"),
            ("amqp://u:p@[::1]:5672/v", "IPv6"),
            ("amqps://mq/v?auth_mechanism=external", "names no user"),
        ] {
            assert!(AmqpUrl::parse(text).unwrap_err().contains(why), "{text}");
        }
        assert!(AmqpUrl::parse("amqps://front@mq/v?auth_mechanism=external").is_ok());
    }
}
