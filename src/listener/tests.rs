use std::net::SocketAddr;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::*;

const SETTINGS: ListenerSettings = ListenerSettings {
    name: "test",
    connections: 3,
    head_timeout: Duration::from_secs(30),
    write_timeout: Duration::from_secs(30),
};

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    metrics: Arc<Metrics>,
    /// `GET /wait` adds a permit to `begun`, and answers once it has one of `answers`.
    begun: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl Served {
    async fn start(settings: ListenerSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, metrics) = (CancellationToken::new(), Arc::new(Metrics::new()));
        let answers = Arc::new(Semaphore::new(0));
        let begun = Arc::new(Semaphore::new(0));
        let (begins, may_answer) = (Arc::clone(&begun), Arc::clone(&answers));
        let wait = async move || {
            begins.add_permits(1);
            may_answer.acquire().await.unwrap().forget();
            "waited"
        };
        let router = Router::new()
            .route("/now", get(|| async { "now" }))
            .route("/echo", post(|body: String| async { body }))
            .route("/wait", get(wait));
        let serving = tokio::spawn(serve(listener, router, settings, Arc::clone(&metrics), stop.clone()));
        Self { address, stop, serving, metrics, begun, answers }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ask(&self, path: &str) -> TcpStream {
        let mut stream = self.connect().await;
        send(&mut stream, path).await;
        stream
    }

    /// A connection with a request that waits for its answer.
    async fn busy(&self) -> TcpStream {
        let stream = self.ask("/wait").await;
        self.begun.acquire().await.unwrap().forget();
        stream
    }

    /// Waits until this many connections are open.
    async fn open(&self, count: usize) {
        let wanted = format!("nidbridge_http_connections{{listener=\"test\"}} {count}\n");
        while !self.metrics.encode().contains(&wanted) {
            tokio::task::yield_now().await;
        }
    }

    fn closed(&self, cause: &str) -> bool {
        let wanted =
            format!("nidbridge_http_connections_closed_total{{listener=\"test\",cause=\"{cause}\"}} 1\n");
        self.metrics.encode().contains(&wanted)
    }
}

async fn send(stream: &mut TcpStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
}

/// What arrives until `end` was read, or until the connection is closed.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut part = [0; 1024];
    while !text.ends_with(end) || end.is_empty() {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => break,
            Ok(length) => text.push_str(std::str::from_utf8(&part[..length]).unwrap()),
        }
    }
    text
}

#[tokio::test]
async fn a_full_port_closes_the_connection_that_has_been_idle_for_longest() {
    let served = Served::start(SETTINGS).await;
    let mut oldest = served.connect().await;
    served.open(1).await;
    let mut used = served.ask("/now").await;
    assert!(read_until(&mut used, "now").await.contains("200 OK"));
    let mut busy = served.busy().await;
    served.open(3).await;
    let mut new = served.ask("/now").await;
    assert!(read_until(&mut new, "now").await.contains("200 OK"));
    assert_eq!(read_until(&mut oldest, "").await, "", "the silent one is closed");
    assert!(served.closed("crowded_out"));
    send(&mut used, "/now").await;
    assert!(read_until(&mut used, "now").await.contains("200 OK"), "the others stay");
    served.answers.add_permits(1);
    assert!(read_until(&mut busy, "waited").await.contains("200 OK"));
}

#[tokio::test]
async fn a_port_that_is_full_of_running_requests_serves_a_new_caller_when_one_ends() {
    let served = Served::start(SETTINGS).await;
    let mut busy = Vec::new();
    for count in 1..=3 {
        busy.push(served.busy().await);
        served.open(count).await;
    }
    let mut new = served.ask("/now").await;
    served.answers.add_permits(1);
    assert!(read_until(&mut new, "now").await.contains("200 OK"));
    served.answers.add_permits(2);
    let mut answered = 0;
    for stream in &mut busy {
        answered += usize::from(read_until(stream, "waited").await.contains("200 OK"));
    }
    assert_eq!(answered, 3, "no running request was cut off");
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_its_connection() {
    let served =
        Served::start(ListenerSettings { head_timeout: Duration::from_millis(50), ..SETTINGS }).await;
    let mut silent = served.connect().await;
    assert_eq!(read_until(&mut silent, "").await, "");
    assert!(served.closed("head_timeout"));
    let mut slow = served.connect().await;
    slow.write_all(b"GET /now HTTP/1.1\r\nHost: ").await.unwrap();
    assert!(!read_until(&mut slow, "").await.contains("200"));
    let mut idle = served.ask("/now").await;
    let answer = read_until(&mut idle, "").await;
    assert!(answer.contains("200 OK") && answer.ends_with("now"), "closed after its answer: {answer}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let served = Served::start(SETTINGS).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /now HTTP/1.1\r\nX: ").await.unwrap();
    // The server may close the connection before all was written.
    drop(stream.write_all(&vec![b'x'; 2 * BUFFER]).await);
    let answer = read_until(&mut stream, "").await;
    assert!(answer.is_empty() || answer.contains("431"), "{answer}");
}

#[tokio::test]
async fn a_body_may_be_longer_than_the_buffer() {
    let served = Served::start(SETTINGS).await;
    let body = "x".repeat(20 * BUFFER);
    let mut stream = served.connect().await;
    let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move { writer.write_all(body.as_bytes()).await.map(|()| writer) });
    let mut echoed = vec![0; 20 * BUFFER];
    reader.read_exact(&mut echoed).await.unwrap();
    drop(writing.await.unwrap().unwrap());
    assert!(echoed.starts_with(b"HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_stop_waits_for_running_requests_but_not_for_silent_callers() {
    let served = Served::start(SETTINGS).await;
    let mut silent = served.connect().await;
    let mut busy = served.busy().await;
    served.open(2).await;
    served.stop.cancel();
    assert_eq!(read_until(&mut silent, "").await, "");
    assert!(!served.serving.is_finished());
    served.answers.add_permits(1);
    assert!(read_until(&mut busy, "").await.ends_with("waited"));
    served.serving.await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}
