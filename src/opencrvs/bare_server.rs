//! A server on a bare socket, for the tests of the clients.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::ClientSettings;

/// It answers each request with the next response of its list, and repeats the last one.
pub(super) struct Server {
    url: Url,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn settings(&self) -> ClientSettings {
        let second = Duration::from_secs(2);
        ClientSettings { url: self.url.clone(), timeout: second, connect_timeout: second, proxy: None }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A server with these responses: status and body.
pub(super) async fn server(responses: &[(u16, String)]) -> Server {
    let responses = responses.iter().map(|(status, body)| {
        let length = body.len();
        format!("HTTP/1.1 {status} Answer\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    });
    raw_server(responses.collect()).await
}

/// A server with these responses, byte for byte. It closes the connection after each.
pub(super) async fn raw_server(responses: Vec<String>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/base/", listener.local_addr().unwrap())).unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let mut responses: VecDeque<_> = responses.into();
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_request(&mut stream).await;
            seen.lock().unwrap().push(request);
            let response =
                if responses.len() > 1 { responses.pop_front().unwrap() } else { responses[0].clone() };
            // Other tasks get the time to arrive while this request is in flight.
            tokio::time::sleep(Duration::from_millis(50)).await;
            // A client may hang up in the middle of a body that is too long.
            drop(stream.write_all(response.as_bytes()).await);
        }
    });
    Server { url, requests }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request ended early: {text}");
    }
}
