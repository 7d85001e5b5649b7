//! Which headers go on.
//!
//! Invariant: what belongs to one connection stays with it (RFC 9110 §7.6.1); all else goes on as it came, the trace
//! context with it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};

const NAME: &str = "nidbridge";
/// RFC 9110 §7.6.1, and the two of RFC 2616 that speak to a proxy.
const OF_ONE_CONNECTION: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether we have passed this request on before.
pub(super) fn have_been_here(headers: &HeaderMap) -> bool {
    let hops = headers.get_all(header::VIA).into_iter().filter_map(|via| via.to_str().ok());
    hops.flat_map(|via| via.split(',')).any(|hop| hop.trim().ends_with(NAME))
}

/// The headers of a request as they go on.
pub(super) fn onward(mut headers: HeaderMap, peer: Option<IpAddr>) -> HeaderMap {
    strip(&mut headers);
    // Answered here already, when the body was first read.
    headers.remove(header::EXPECT);
    if let Some(host) = headers.remove(header::HOST) {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(peer) = peer {
        add(&mut headers, FORWARDED_FOR, &peer.to_canonical().to_string());
    }
    add(&mut headers, header::VIA, &format!("1.1 {NAME}"));
    headers
}

/// Puts these in the place of those that came.
pub(super) fn set(headers: &mut HeaderMap, ours: BTreeMap<String, String>) {
    for (name, value) in ours {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

/// The headers of an answer as they go back.
pub(super) fn back(mut headers: HeaderMap) -> HeaderMap {
    strip(&mut headers);
    headers
}

fn strip(headers: &mut HeaderMap) {
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
    for name in OF_ONE_CONNECTION {
        headers.remove(name);
    }
}

/// Adds to a list that may have begun before.
fn add(headers: &mut HeaderMap, name: HeaderName, value: &str) {
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
        let headers = onward(
            map(&[
                ("connection", "close, X-Mine"),
                ("x-mine", "1"),
                ("te", "trailers"),
                ("upgrade", "websocket"),
                ("transfer-encoding", "chunked"),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                ("host", "countryconfig:3040"),
                ("x-forwarded-for", "10.0.0.1"),
                ("cookie", "a=1"),
            ]),
            Some(IpAddr::from([10, 0, 0, 2])),
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
        assert!(have_been_here(&headers));
        assert!(!have_been_here(&map(&[("via", "1.1 traefik, 1.1 nginx")])));
    }

    #[test]
    fn a_header_that_came_twice_goes_on_twice() {
        let cookies = map(&[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("keep-alive", "timeout=5")]);
        assert_eq!(back(cookies), map(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]));
    }
}
