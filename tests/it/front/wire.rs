//! Requests as bytes, and a listener that records the bytes that OpenCRVS sends.

use std::time::Duration;

use nidbridge::sandbox::opencrvs::SubmitOptions;
use nidbridge::sandbox::population::Declaration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use url::Url;

use crate::harness::world::World;

/// The longest that a test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

#[derive(Clone, Default)]
pub struct Post {
    pub authorization: Option<Vec<u8>>,
    pub headers: Vec<String>,
    pub body: Vec<u8>,
}

impl Post {
    /// A registration with this token and body and no other header.
    pub fn new(token: &str, body: impl Into<Vec<u8>>) -> Self {
        let authorization = Some(format!("Bearer {token}").into_bytes());
        Self { authorization, headers: Vec::new(), body: body.into() }
    }

    pub fn with(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    pub fn head(&self) -> Vec<u8> {
        let mut head = b"POST /event-registration HTTP/1.1\r\nHost: front\r\n".to_vec();
        if let Some(authorization) = &self.authorization {
            head.extend([b"Authorization: ", authorization.as_slice(), b"\r\n"].concat());
        }
        for header in &self.headers {
            head.extend([header.as_bytes(), b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        head
    }

    /// Sends the whole request, then reads, like a caller that reads nothing before it has sent
    /// everything.
    pub async fn to(&self, front: &Url) -> Answer {
        let length = format!("Content-Length: {}", self.body.len());
        let mut bytes = self.clone().with(&length).head();
        bytes.extend(&self.body);
        send(front, &bytes).await
    }
}

pub async fn connect(front: &Url) -> TcpStream {
    TcpStream::connect((front.host_str().unwrap(), front.port().unwrap())).await.expect("the front listens")
}

/// Sends bytes, then reads the answer.
pub async fn send(front: &Url, bytes: &[u8]) -> Answer {
    let mut stream = connect(front).await;
    timeout(PATIENCE, stream.write_all(bytes)).await.expect("in time").expect("the front reads to the end");
    answer(&mut stream).await
}

/// Sends a request without a body.
pub async fn ask(front: &Url, method: &str, path: &str) -> Answer {
    send(front, format!("{method} {path} HTTP/1.1\r\nHost: front\r\nContent-Length: 0\r\n\r\n").as_bytes())
        .await
}

/// Reads one answer of the length that it declares.
pub async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let read = timeout(PATIENCE, message(stream)).await.expect("an answer in time");
    let (head, body) = read.expect("a whole answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head, body: String::from_utf8(body).expect("text") }
}

/// Head and body of a message with a `Content-Length`; `None` if the connection ends first.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

/// The bytes of a submission as OpenCRVS sends them. OpenCRVS gets a 202 from the recorder; the
/// front sees nothing.
pub async fn taken_down(world: &World, declaration: &Declaration) -> Vec<u8> {
    taken(async |place: Url| {
        let submitted = world.opencrvs.submit(declaration, &place, SubmitOptions::default()).await;
        assert!(submitted.unwrap().result.is_success());
    })
    .await
}

/// The same for the events generation.
pub async fn event_taken_down(world: &World, declaration: &Declaration) -> Vec<u8> {
    taken(async |place: Url| {
        let submitted = world.opencrvs.submit_event(declaration, &place, SubmitOptions::default()).await;
        assert!(submitted.unwrap().result.is_success());
    })
    .await
}

async fn taken(submitting: impl AsyncFnOnce(Url)) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let taking = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (head, body) = message(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        [head.into_bytes(), body].concat()
    };
    tokio::join!(taking, submitting(place)).0
}
