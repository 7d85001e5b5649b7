//! HTTP calls to the services of OpenCRVS: the client, the URL, sending, and responses with a
//! bounded body.
//!
//! Invariant: no response is read beyond [`LONGEST_BODY`], and no error contains a URL, because the
//! URLs of auth contain a token.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::header::HeaderName;
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// Limit of a response body, in bytes. The longest response, the event configuration of a country,
/// is shorter.
const LONGEST_BODY: usize = 16 * 1024 * 1024;

/// The gateway (Node) closes connections that were idle for 5 s. A request on such a connection is
/// lost, and nobody can say whether it arrived, so the client closes idle connections well before
/// that.
const IDLE_TIMEOUT: Duration = Duration::from_millis(2_500);

/// How a service of OpenCRVS is reached.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The base URL of the service. Its path is kept, with or without a slash at its end.
    pub url: Url,
    /// Timeout of a call, from connecting to the end of the response body.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// URL of an HTTP proxy; it may hold a password. Variables such as `HTTPS_PROXY` are ignored,
    /// because the calls carry tokens and fetch keys.
    pub proxy: Option<SecretString>,
}

/// HTTP client of one service.
#[derive(Debug, Clone)]
pub(super) struct HttpClient {
    http: reqwest::Client,
    base: Url,
}

impl HttpClient {
    pub(super) fn new(settings: &ClientSettings) -> Result<Self, reqwest::Error> {
        let mut http = reqwest::Client::builder().no_proxy();
        if let Some(proxy) = &settings.proxy {
            http = http.proxy(reqwest::Proxy::all(proxy.expose_secret())?);
        }
        let http = http
            .timeout(settings.timeout)
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("nidbridge/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, base: settings.url.clone() })
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(join(&self.base, path))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(join(&self.base, path))
    }
}

/// Appends `path` to the path of `base`. ([`Url::join`] would replace the last segment of a base
/// without a slash at its end.)
fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// Why a call got no complete response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallFault {
    /// The request was not sent.
    NotSent,
    /// The request was not sent, because the service does not speak TLS on this port.
    NoTls,
    /// No complete response within the time limit.
    TimedOut,
    /// The connection ended before the response was complete.
    BrokenOff,
    /// The body is longer than any response of this service, so another service must have answered.
    TooLong,
}

impl CallFault {
    fn of_send(error: &reqwest::Error) -> Self {
        if speaks_no_tls(error) {
            Self::NoTls
        } else if error.is_connect() || error.is_builder() {
            Self::NotSent
        } else if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::BrokenOff
        }
    }
}

/// Whether the other side answered the TLS handshake with something else, as a port without TLS
/// does.
fn speaks_no_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        // An `io::Error` shows the error that it was made from only here.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if matches!(inner.and_then(|inner| inner.downcast_ref()), Some(rustls::Error::InvalidMessage(_))) {
            return true;
        }
        next = inner.map_or_else(|| error.source(), |inner| Some(inner));
    }
    false
}

/// Sends a request and waits for the head of the response.
pub(super) async fn send(request: RequestBuilder) -> Result<Response, CallFault> {
    request.send().await.map(Response).map_err(|error| CallFault::of_send(&error))
}

/// A response whose body has not been read yet.
pub(super) struct Response(reqwest::Response);

impl Response {
    pub(super) fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The text of a header. `None` if it is absent or is not ASCII.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// Reads the body. Every failure before its end counts as [`CallFault::BrokenOff`], even a
    /// timeout.
    pub(super) async fn body(mut self) -> Result<Vec<u8>, CallFault> {
        let mut body = Vec::new();
        while let Some(chunk) = self.0.chunk().await.map_err(|_| CallFault::BrokenOff)? {
            if body.len() + chunk.len() > LONGEST_BODY {
                return Err(CallFault::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(super) async fn complete(self) -> Result<CompleteResponse, CallFault> {
        let (status, retry_after) = (self.status(), retry_after(&self.0));
        Ok(CompleteResponse { status, retry_after, body: self.body().await? })
    }
}

/// A response that was read to its end.
#[derive(Debug)]
pub(super) struct CompleteResponse {
    pub(super) status: StatusCode,
    /// `Retry-After` in seconds. A date in this header is ignored.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let text = response.headers().get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::opencrvs::bare_server::{raw_server, server};

    /// Calls a server that answers with this text.
    async fn called(response: String) -> Result<CompleteResponse, CallFault> {
        let server = raw_server(vec![response]).await;
        let client = HttpClient::new(&server.settings()).unwrap();
        send(client.get("x")).await?.complete().await
    }

    #[tokio::test]
    async fn a_body_may_be_as_long_as_the_limit() {
        for (length, expected) in
            [(LONGEST_BODY, Ok(LONGEST_BODY)), (LONGEST_BODY + 1, Err(CallFault::TooLong))]
        {
            let server = server(&[(200, "x".repeat(length))]).await;
            let settings = ClientSettings { timeout: Duration::from_secs(60), ..server.settings() };
            let response = send(HttpClient::new(&settings).unwrap().get("x")).await.unwrap();
            assert_eq!(response.body().await.map(|body| body.len()), expected);
        }
    }

    #[tokio::test]
    async fn retry_after_is_read_if_it_is_a_number_of_seconds() {
        for (header, after) in [
            ("retry-after: 7\r\n", Some(7)),
            ("Retry-After:  120 \r\n", Some(120)),
            ("retry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n", None),
            ("retry-after: -1\r\n", None),
            ("", None),
        ] {
            let head =
                format!("HTTP/1.1 429 Answer\r\ncontent-length: 0\r\nconnection: close\r\n{header}\r\n");
            let response = called(head).await.unwrap();
            assert_eq!(response.retry_after, after.map(Duration::from_secs), "{header}");
        }
    }

    #[tokio::test]
    async fn a_port_without_tls_is_told_apart() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let second = Duration::from_secs(5);
        let url = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        });
        let settings = ClientSettings { url, timeout: second, connect_timeout: second, proxy: None };
        let request = HttpClient::new(&settings).unwrap().get("x");
        assert_eq!(send(request).await.map(|_| ()).unwrap_err(), CallFault::NoTls);
    }

    #[tokio::test]
    async fn a_call_without_a_complete_response_says_whether_it_was_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let second = Duration::from_secs(1);
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let settings = ClientSettings { url, timeout: second, connect_timeout: second, proxy: None };
        let client = HttpClient::new(&settings).unwrap();
        let fault = async |request: RequestBuilder| send(request).await.map(|_| ()).unwrap_err();
        // The kernel accepts the connection, and nobody answers.
        assert_eq!(fault(client.get("x")).await, CallFault::TimedOut);
        let unusable = client.get("x").header("x", "a\nb");
        assert_eq!(fault(unusable).await, CallFault::NotSent, "it cannot be built");
        drop(listener);
        assert_eq!(fault(client.get("x")).await, CallFault::NotSent, "nobody listens");
        assert_eq!(called(String::new()).await.unwrap_err(), CallFault::BrokenOff);
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".to_owned();
        assert_eq!(called(cut).await.unwrap_err(), CallFault::BrokenOff);
    }

    #[test]
    fn a_path_is_appended_to_that_of_the_base_with_or_without_a_slash() {
        for (base, expected) in [
            ("http://gateway:7070", "http://gateway:7070/graphql"),
            ("http://gateway:7070/", "http://gateway:7070/graphql"),
            ("http://gateway/v1", "http://gateway/v1/graphql"),
            ("http://gateway/v1/", "http://gateway/v1/graphql"),
        ] {
            assert_eq!(join(&Url::parse(base).unwrap(), "graphql").as_str(), expected);
        }
        let base = Url::parse("http://gateway").unwrap();
        assert_eq!(join(&base, "events/event.get").path(), "/events/event.get");
    }
}
