//! Whom a request comes from: the peer of its connection, or, behind reverse proxies that are
//! trusted, the address that they name.
//!
//! Invariant: what a peer that is not trusted says about itself is believed by nobody, neither here
//! nor behind the front.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::HeaderName;
use ipnet::IpNet;

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The reverse proxies whose `X-Forwarded-*` headers are believed.
#[derive(Debug, Clone, Default)]
pub(super) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub(super) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    pub(super) fn trust(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// The address of the caller: the last one in `X-Forwarded-For` that is not a trusted proxy.
    pub(super) fn caller(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trust(peer) {
            return peer;
        }
        let named: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        // An entry that is no address ends the list, because nobody can say who wrote what is
        // before it.
        let addresses = named.into_iter().rev().map_while(|name| name.trim().parse::<IpAddr>().ok());
        addresses.map(|address| address.to_canonical()).find(|address| !self.trust(*address)).unwrap_or(peer)
    }
}

/// Removes what a peer says about itself and its caller.
pub(super) fn remove_claims(headers: &mut HeaderMap) {
    let claims = |name: &&HeaderName| {
        name.as_str().starts_with("x-forwarded-") || matches!(name.as_str(), "forwarded" | "x-real-ip")
    };
    let claims: Vec<HeaderName> = headers.keys().filter(claims).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn caller(peer: &str, forwarded: &[&str]) -> String {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        proxies.caller(&headers, peer.parse().unwrap()).to_string()
    }

    #[test]
    fn a_stranger_is_who_it_is_whatever_it_says() {
        assert_eq!(caller("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(caller("::ffff:192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn a_trusted_proxy_names_its_caller_and_what_that_caller_says_is_not_believed() {
        assert_eq!(caller("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(caller("::ffff:10.0.0.1", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(caller("10.0.0.1", &["203.0.113.9", "198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(caller("::1", &["203.0.113.9, unknown, 10.0.0.2"]), "::1");
        assert_eq!(caller("10.0.0.1", &[]), "10.0.0.1");
    }
}
