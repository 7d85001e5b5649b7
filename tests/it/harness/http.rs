//! Requests to the management API of the private node: one per connection, so that they also work while a test ends.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Where the API is and who asks.
#[derive(Debug, Clone)]
pub struct Api {
    pub port: u16,
    pub user: String,
    pub password: String,
}

impl Api {
    /// Sends a request and returns the status and the body.
    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the management API");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let credentials = STANDARD.encode(format!("{}:{}", self.user, self.password));
        let length = body.len();
        let request = format!(
            "{method} /api{path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    }

    /// Sends a request that must succeed.
    pub fn must(&self, method: &str, path: &str, body: &str) -> String {
        let (status, answer) = self.call(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }
}
