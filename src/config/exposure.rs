//! Settings that are valid but leave secrets or personal data open, for `nidbridge config check`.
//!
//! Invariant: only settings that were set are named, and no text contains a secret.

use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use super::forms::each_host;
use super::reader::DEFAULT;
use super::{Config, Shown, settings};

/// What the shipped compose file contains: passwords begin with the first, and the second is the
/// key in `SEAL_KEYS`.
const DEMONSTRATION: [&str; 2] = ["demo-only-", "REVNT05TVFJBVElPTiBPTkxZLCBQVUJMSUMgS0VZISE="];

impl Config {
    /// The texts, each with the name of its setting.
    pub(super) fn exposures(&self, shown: &[Shown]) -> Vec<String> {
        let set = |key: &str| shown.iter().any(|one| one.key == key && one.origin != DEFAULT);
        let mut found = Vec::new();
        let mut note = |key: &str, why: Option<&str>| {
            let setting = settings().find(|setting| setting.key == key && set(key));
            if let (Some(setting), Some(why)) = (setting, why) {
                let variable = setting.env.first().copied().unwrap_or(key);
                found.push(format!("{variable} ({key}): {why}"));
            }
        };
        for (key, secret) in self.secrets() {
            let is_public = DEMONSTRATION.iter().any(|public| secret.expose_secret().contains(public));
            note(key, is_public.then_some("is a demonstration secret, which everybody knows: make your own"));
        }
        for (key, url) in self.broker_urls() {
            note(
                key,
                is_guest(url).then_some("uses RabbitMQ's user `guest`, whose password everybody knows"),
            );
        }
        for (key, url) in self.urls() {
            let why = "is not encrypted, and its host is not this machine: whoever is in the network between can read and \
                       change what passes; use TLS, or close that network to all others";
            note(key, is_open(&url).then_some(why));
        }
        found
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretString)> {
        let always = [("ledger.url", &self.ledger.url), ("seal.keys", &self.seal_keys)];
        self.broker_urls().into_iter().chain(always).collect()
    }

    fn broker_urls(&self) -> [(&'static str, &SecretString); 2] {
        [("broker.url", &self.broker.url), ("broker.nid_url", &self.broker.nid_url)]
    }

    fn urls(&self) -> Vec<(&'static str, String)> {
        let opencrvs = &self.opencrvs;
        let named = [
            ("opencrvs.auth_url", Some(&opencrvs.auth_url)),
            ("opencrvs.gateway_url", Some(&opencrvs.gateway_url)),
            ("opencrvs.events_url", Some(&opencrvs.events_url)),
            ("opencrvs.country_config_url", opencrvs.country_config_url.as_ref()),
            ("telemetry.otlp_endpoint", self.telemetry.otlp_endpoint.as_ref()),
        ];
        let named = named.into_iter().filter_map(|(key, url)| Some((key, url?.to_string())));
        let secret = [
            Some(("ledger.url", &self.ledger.url)),
            self.alert.webhook.as_ref().map(|url| ("alert.webhook", url)),
        ];
        let secret = secret.into_iter().flatten().map(|(key, url)| (key, url.expose_secret().to_owned()));
        // The hosts of a list have the same scheme, so the first that is not here is enough.
        let brokers = self.broker_urls().into_iter().filter_map(|(key, url)| {
            let hosts = each_host(url.expose_secret());
            Some((key, hosts.iter().find(|url| is_open(url)).or(hosts.first())?.clone()))
        });
        named.chain(brokers).chain(secret).collect()
    }
}

fn is_guest(url: &SecretString) -> bool {
    let first = each_host(url.expose_secret()).into_iter().next().unwrap_or_default();
    Url::parse(&first).is_ok_and(|url| matches!(url.username(), "guest" | ""))
}

/// Whether what passes can be read in a network.
fn is_open(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let is_clear = match url.scheme() {
        "amqp" | "http" => true,
        // The default, `prefer`, also goes on without TLS.
        "postgres" | "postgresql" => {
            let encrypts = |value: &str| matches!(value, "require" | "verify-ca" | "verify-full");
            !url.query_pairs()
                .any(|(name, value)| matches!(&*name, "sslmode" | "ssl-mode") && encrypts(&value))
        }
        _ => false,
    };
    is_clear && !is_this_machine(&url)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // `Url` reads the host of a scheme that it does not know as a name.
        Some(Host::Domain(name)) => {
            name == "localhost" || name.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
        }
        // A socket in the file system.
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Part, Sources, load};

    fn exposures(settings: &[(&str, &str)]) -> Vec<String> {
        let key = ("SEAL_KEYS", "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let all = [key].into_iter().chain(settings.iter().copied());
        let environment = all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        load(&Sources { file: None, environment }, Part::All).unwrap().exposures
    }

    #[test]
    fn public_secrets_are_named_and_not_shown() {
        let found = exposures(&[
            ("AMQP_URL", "amqp://nidbridge:demo-only-bridge@localhost/nidbridge"),
            ("NID_AMQP_URL", "amqps://guest:guest@broker/nid"),
            ("LEDGER_URL", "postgres://nidbridge:demo-only-ledger@127.0.0.1/nidbridge"),
            ("SEAL_KEYS", "demo:REVNT05TVFJBVElPTiBPTkxZLCBQVUJMSUMgS0VZISE="),
        ]);
        let starts = [
            "AMQP_URL (broker.url): is a demonstration",
            "LEDGER_URL (ledger.url): is a demonstration",
            "SEAL_KEYS (seal.keys): is a demonstration",
            "NID_AMQP_URL (broker.nid_url): uses RabbitMQ's user `guest`",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (one, start) in found.iter().zip(starts) {
            assert!(one.starts_with(start) && !one.contains("demo-only"), "{one}");
        }
    }

    #[test]
    fn a_clear_text_url_of_another_machine_is_named() {
        for (name, url) in [
            ("AMQP_URL", "amqp://u:p@mq/nidbridge"),
            ("NID_AMQP_URL", "amqp://u:p@10.0.0.1/nid"),
            ("LEDGER_URL", "postgres://u:p@db/nidbridge"),
            ("LEDGER_URL", "postgres://u:p@db/nidbridge?sslmode=prefer"),
            ("GATEWAY_URL", "http://gateway:7070"),
            ("COUNTRY_CONFIG_URL", "http://10.0.0.1:3040"),
            ("ALERT_WEBHOOK", "http://alerts.example/hook"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
        ] {
            let found = exposures(&[(name, url)]);
            assert!(matches!(&*found, [one] if one.starts_with(&format!("{name} ("))), "{url}: {found:?}");
        }
        for (name, url) in [
            ("AMQP_URL", "amqps://u:p@mq/nidbridge"),
            ("AMQP_URL", "amqp://u:p@127.0.0.1/nidbridge"),
            ("AMQP_URL", "amqp://u:p@localhost/nidbridge"),
            ("LEDGER_URL", "postgres://u:p@db/nidbridge?sslmode=verify-full"),
            ("LEDGER_URL", "sqlite://ledger.db"),
            ("GATEWAY_URL", "https://gateway"),
            ("AUTH_URL", "http://[::1]:4040"),
        ] {
            assert_eq!(exposures(&[(name, url)]), Vec::<String>::new(), "{url}");
        }
    }
}
