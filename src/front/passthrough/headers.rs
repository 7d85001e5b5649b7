//! The headers of proxied requests and responses.
//!
//! Invariant: hop-by-hop headers are removed (RFC 9110 §7.6.1). `X-Forwarded-*`, `Forwarded` and
//! `X-Real-IP` are replaced unless a trusted proxy sent them. Every other header is forwarded as it
//! came, including the trace context.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::forwarded::{FORWARDED_FOR, remove_claims};

/// Our pseudonym in `Via`.
const PSEUDONYM: &str = "nidbridge";
/// The headers of RFC 9110 §7.6.1, the two proxy headers of RFC 2616, and that of an upgrade to
/// HTTP/2 (RFC 7540 §3.2.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether we have proxied this request before.
pub(super) fn have_our_via(headers: &HeaderMap) -> bool {
    let hops = headers.get_all(header::VIA).into_iter().filter_map(|via| via.to_str().ok());
    hops.flat_map(|via| via.split(',')).any(|hop| hop.trim().ends_with(PSEUDONYM))
}

/// The headers of a request for the upstream service. `trusted` says whether the peer is a trusted
/// proxy.
pub(super) fn to_upstream(mut headers: HeaderMap, peer: Option<IpAddr>, trusted: bool) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    if !trusted {
        remove_claims(&mut headers);
    }
    // The front itself sends `100 Continue` when it first reads the body.
    headers.remove(header::EXPECT);
    if let Some(host) = headers.remove(header::HOST) {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(peer) = peer {
        append_to_list(&mut headers, FORWARDED_FOR, &peer.to_canonical().to_string());
    }
    append_to_list(&mut headers, header::VIA, &format!("1.1 {PSEUDONYM}"));
    headers
}

/// Sets these headers and replaces others of the same names.
pub(super) fn set(headers: &mut HeaderMap, ours: BTreeMap<String, String>) {
    for (name, value) in ours {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

/// The headers of a response for the caller.
pub(super) fn to_caller(mut headers: HeaderMap) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    headers
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Appends to a comma-separated list, which other proxies may have begun.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let before = headers.get_all(&name).into_iter().filter_map(|value| value.to_str().ok());
    let all = before.chain([value]).collect::<Vec<_>>().join(", ");
    if let Ok(all) = HeaderValue::from_str(&all) {
        headers.insert(name, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn what_belongs_to_a_connection_stays_and_what_it_names_as_well() {
        let headers = to_upstream(
            map(&[
                ("connection", "close, X-Mine"),
                ("x-mine", "1"),
                ("te", "trailers"),
                ("proxy-connection", "keep-alive"),
                ("proxy-authorization", "Basic YTpi"),
                ("upgrade", "websocket"),
                ("http2-settings", "AAMAAABk"),
                ("transfer-encoding", "chunked"),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                ("host", "countryconfig:3040"),
                ("x-forwarded-for", "10.0.0.1"),
                ("cookie", "a=1"),
            ]),
            Some(IpAddr::from([10, 0, 0, 2])),
            true,
        );
        assert_eq!(
            headers,
            map(&[
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                ("x-forwarded-host", "countryconfig:3040"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-for", "10.0.0.1, 10.0.0.2"),
                ("cookie", "a=1"),
                ("via", "1.1 nidbridge"),
            ])
        );
        assert!(have_our_via(&headers));
        assert!(!have_our_via(&map(&[("via", "1.1 traefik, 1.1 nginx")])));
    }

    #[test]
    fn what_a_stranger_says_about_itself_is_replaced() {
        let claims = map(&[
            ("host", "countryconfig"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-host", "register.gov"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/admin"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("x-theirs", "1"),
        ]);
        let headers = to_upstream(claims, Some(IpAddr::from([192, 0, 2, 1])), false);
        assert_eq!(
            headers,
            map(&[
                ("x-theirs", "1"),
                ("x-forwarded-host", "countryconfig"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-for", "192.0.2.1"),
                ("via", "1.1 nidbridge"),
            ])
        );
    }

    #[test]
    fn a_header_that_came_twice_goes_on_twice() {
        let cookies = map(&[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("keep-alive", "timeout=5")]);
        assert_eq!(to_caller(cookies), map(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]));
    }

    #[test]
    fn what_the_upstream_asks_of_a_proxy_is_not_asked_of_the_caller() {
        let headers = map(&[("proxy-authenticate", "Basic"), ("proxy-connection", "close"), ("age", "1")]);
        assert_eq!(to_caller(headers), map(&[("age", "1")]));
    }
}
