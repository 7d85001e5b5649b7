//! A webhook that records its calls. It can be away, refuse calls, or never answer.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Takes,
    Refuses,
    Hangs,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub head: String,
    pub body: Vec<u8>,
}

impl Call {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn id(&self) -> String {
        self.json()["id"].as_str().expect("an id").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(": ").map(|(_, value)| value)
    }
}

/// A webhook that ends with the runtime of the test.
pub struct Hook {
    calls: Arc<Mutex<Vec<Call>>>,
    manner: Arc<Mutex<Manner>>,
}

impl Hook {
    pub async fn listening(port: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the webhook's port");
        let (calls, manner) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(manner)));
        let (kept, now) = (Arc::clone(&calls), Arc::clone(&manner));
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(serve(caller, Arc::clone(&kept), Arc::clone(&now)));
            }
        });
        Self { calls, manner }
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

async fn serve(mut caller: TcpStream, calls: Arc<Mutex<Vec<Call>>>, manner: Arc<Mutex<Manner>>) {
    let mut bytes = Vec::new();
    loop {
        let (head, length) = loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
                });
                break (head.to_owned(), length.unwrap_or_default());
            }
            if caller.read_buf(&mut bytes).await.unwrap_or_default() == 0 {
                return;
            }
        };
        let all = head.len() + 4 + length;
        while bytes.len() < all {
            if caller.read_buf(&mut bytes).await.unwrap_or_default() == 0 {
                return;
            }
        }
        let body = bytes[head.len() + 4..all].to_vec();
        bytes.drain(..all);
        calls.lock().unwrap().push(Call { head, body });
        let now = *manner.lock().unwrap();
        let status = match now {
            Manner::Takes => "204 No Content",
            Manner::Refuses => "500 Internal Server Error",
            Manner::Hangs => std::future::pending().await,
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        if caller.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
