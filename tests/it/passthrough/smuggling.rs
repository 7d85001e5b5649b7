//! Requests that two servers could read differently. Whatever the caller sends, the country's
//! service gets requests that can be read in one way only, none that was hidden in another one, and
//! none that means a path of the front.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::broken::listening;
use super::exact::head;
use super::front;
use crate::front::wire::Post;
use crate::front::{births, bundle, token};
use crate::harness::nginx::Nginx;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};
use crate::harness::{eventually, temporary};

/// The next request on the same connection.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: front\r\nConnection: close\r\n\r\n";
const HIDDEN: &str = "POST /hidden HTTP/1.1\r\nHost: front\r\nContent-Length: 0\r\n\r\n";

/// A service that reads requests strictly, answers each with 200, and keeps the request lines.
struct Recorder {
    seen: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Recorder {
    fn start(listener: TcpListener) -> Self {
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let (mut serving, record) = (JoinSet::new(), Arc::clone(&seen));
        serving.spawn(async move {
            let mut callers = JoinSet::new();
            while let Ok((mut caller, _)) = listener.accept().await {
                let record = Arc::clone(&record);
                callers.spawn(async move {
                    while let Some(line) = strictly_read(&mut caller).await {
                        record.lock().unwrap().push(line);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                        caller.write_all(answer).await.unwrap_or_default();
                    }
                });
            }
        });
        Self { seen, _serving: serving }
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn line(from: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(from.read_u8().await.ok()?);
    }
    line.truncate(line.len() - 2);
    Some(String::from_utf8_lossy(&line).into_owned())
}

/// Method and target of the next whole request, or what is wrong with its head; `None` at the end of
/// the connection.
async fn strictly_read(from: &mut TcpStream) -> Option<String> {
    let first = line(from).await?;
    let mut lengths = Vec::new();
    let mut codings = Vec::new();
    let mut hops = Vec::new();
    loop {
        let header = line(from).await?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.parse::<usize>().ok()?),
            "transfer-encoding" => codings.push(value.to_owned()),
            "upgrade" | "http2-settings" | "te" | "connection" | "expect" => hops.push(header),
            _ => {}
        }
    }
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => {}
        ([length], []) => drop(from.read_exact(&mut vec![0; *length]).await.ok()?),
        ([], [coding]) if coding == "chunked" => loop {
            let size = usize::from_str_radix(&line(from).await?, 16).ok()?;
            from.read_exact(&mut vec![0; size + 2]).await.ok()?;
            if size == 0 {
                break;
            }
        },
        _ => return Some(format!("ambiguous: {lengths:?} {codings:?}")),
    }
    let line = [vec![first.trim_end_matches(" HTTP/1.1").to_owned()], hops].concat();
    Some(line.join("; "))
}

/// The final statuses that the caller gets until the connection ends.
async fn statuses(port: u16, bytes: &[u8]) -> Vec<u16> {
    let mut caller = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    caller.write_all(bytes).await.unwrap();
    let mut text = Vec::new();
    // A connection that is closed in the middle of a request is reset.
    let reading = async { while caller.read_buf(&mut text).await.is_ok_and(|read| read > 0) {} };
    let ended = timeout(SOON, reading).await;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(ended.is_ok(), "the connection is left open: {text}");
    let statuses = text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok());
    statuses.filter(|status| *status != 100).collect()
}

struct Attack {
    bytes: String,
    /// What the country's service gets.
    seen: &'static [&'static str],
    statuses: &'static [u16],
}

fn attack(bytes: &str, seen: &'static [&'static str], statuses: &'static [u16]) -> Attack {
    Attack { bytes: bytes.to_owned(), seen, statuses }
}

/// A POST with these headers and this body.
fn post(headers: &str, body: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: front\r\n{headers}\r\n\r\n{body}")
}

fn get(headers: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: front\r\n{headers}\r\n\r\n")
}

/// Codings that are not `chunked` once.
const CODINGS: [&str; 19] = [
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked;a=b",
    "Transfer-Encoding:\u{b}chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: chunked\0",
    "Transfer_Encoding\0: chunked",
];
/// The values of `Content-Length` that are none.
const LENGTHS: [&str; 9] = [
    "Content-Length: 4, 4",
    "Content-Length: +4",
    "Content-Length: -4",
    "Content-Length: 0x4",
    "Content-Length: 4 4",
    "Content-Length:",
    "Content-Length : 4",
    "Content-Length: 4\r\n 4",
    "Content-Length: 99999999999999999999999",
];

/// Bodies with a request in them, whose end two servers could see at different places.
fn framings(hidden: &str) -> Vec<Attack> {
    let chunked = format!("0\r\n\r\n{hidden}");
    let whole = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let (long, short) = (format!("Content-Length: {}", chunked.len()), "Content-Length: 4");
    let refused = |bytes| Attack { bytes, seen: &[], statuses: &[400] };
    let mut all = Vec::new();
    // Both: what is after the last chunk is no request, and the connection ends.
    for headers in [
        format!("{long}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\n{long}"),
        format!("Transfer-Encoding: Chunked\r\n{long}\r\n{short}"),
    ] {
        all.push(attack(&post(&headers, &chunked), &["POST /x"], &[200]));
        all.push(attack(&post(&headers, &whole), &["POST /x"], &[200]));
    }
    for coding in CODINGS {
        all.push(refused(post(&format!("{coding}\r\n{long}"), &chunked)));
        all.push(refused(post(coding, &whole)));
    }
    for lengths in [format!("{long}\r\n{short}"), format!("{short}\r\n{long}")] {
        all.push(refused(post(&lengths, &chunked)));
    }
    all.extend(LENGTHS.map(|length| refused(post(length, &chunked))));
    for (headers, body) in [
        ("Transfer-Encoding:  chunked", whole.as_str()),
        ("Transfer-Encoding:\tchunked", &whole),
        ("Transfer-Encoding: chunked \t", &whole),
        ("Content-Length: 4\r\nContent-Length: 4", "body"),
        ("Content-Length: 4\r\nConnection: content-length", "body"),
    ] {
        all.push(attack(&post(headers, body), &["POST /x", "GET /next"], &[200, 200]));
    }
    all
}

/// Chunks that are not as RFC 9112 §7.1 wants them.
fn chunks() -> Vec<Attack> {
    let mut all = Vec::new();
    for bad in [
        "5;a=b\nGET /h\r\n0\r\n\r\n",
        "-1\r\nx\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nx\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "3\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "zz\r\n",
    ] {
        all.push(attack(&post("Transfer-Encoding: chunked", bad), &[], &[400]));
    }
    for fine in
        ["5;a=\"b\"\r\nhello\r\n0;c\r\n\r\n", "005\r\nhello\r\n0\r\nContent-Length: 9\r\nHost: y\r\n\r\n"]
    {
        let bytes = post("Transfer-Encoding: chunked\r\nTrailer: Content-Length", fine);
        all.push(attack(&bytes, &["POST /x", "GET /next"], &[200, 200]));
    }
    all
}

/// Heads that are malformed, so the connection ends.
fn malformed() -> Vec<Attack> {
    let headers =
        ["X : y", "X: y\r\n folded", "X: a\0b", "X: a\u{7f}b", "X: a\rb", "X\0: y", ": y", "no colon"];
    let lines = [
        "GET /x\0 HTTP/1.1",
        "GET /x\t HTTP/1.1",
        "GET /x\u{1} HTTP/1.1",
        "GET /x y HTTP/1.1",
        "GET  /x HTTP/1.1",
        "GET /x HTTP/1.2",
        "G@T /x HTTP/1.1",
    ];
    let bytes = headers.map(get).into_iter().chain([get("Host: other"), "GET /x\r\n".to_owned()]);
    let lines = lines.map(|line| format!("{line}\r\nHost: front\r\n\r\n"));
    bytes.chain(lines).map(|bytes| Attack { bytes, seen: &[], statuses: &[400] }).collect()
}

/// Heads and targets that mean something else to a proxy than to a server.
fn heads() -> Vec<Attack> {
    let h2c = "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk";
    let mut all = Vec::new();
    for bytes in [
        "GET /x HTTP/1.1\nHost: front\n\n".to_owned(),
        get(h2c),
        get("Upgrade: websocket\r\nConnection: keep-alive, upgrade"),
        "GET http://other/x HTTP/1.1\r\nHost: front\r\n\r\n".to_owned(),
        "GET /x#/../event-registration HTTP/1.1\r\nHost: front\r\n\r\n".to_owned(),
    ] {
        all.push(Attack { bytes, seen: &["GET /x", "GET /next"], statuses: &[200, 200] });
    }
    let expects = post("Expect: 100-continue\r\nContent-Length: 4", "body");
    all.push(Attack { bytes: expects, seen: &["POST /x", "GET /next"], statuses: &[200, 200] });
    all.push(attack("GET /x HTTP/1.0\r\nHost: front\r\n\r\n", &["GET /x"], &[]));
    all.push(attack("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[], &[]));
    // The target is no path, or means a path of the front: refused, and the connection stays.
    for target in ["OPTIONS *", "GET x", "CONNECT other:443"] {
        let bytes = format!("{target} HTTP/1.1\r\nHost: front\r\n\r\n");
        all.push(Attack { bytes, seen: &["GET /next"], statuses: &[400, 200] });
    }
    let ours = "/event-registration";
    let ends = [
        "%00",
        "%3F",
        "%23",
        "%2F",
        "%20",
        "%0d%0aX:y",
        "%00.html",
        "%3Fa=b",
        "%2523",
        "%2F..%2Fevent-registration",
    ];
    let ends = ends.map(|end| (format!("{ours}{end}"), &[400, 200]));
    for (target, statuses) in ends.into_iter().chain([(format!("http://other{ours}"), &[401, 200])]) {
        let bytes = format!("POST {target} HTTP/1.1\r\nHost: front\r\nContent-Length: 0\r\n\r\n");
        all.push(Attack { bytes, seen: &["GET /next"], statuses });
    }
    all
}

fn all() -> impl Iterator<Item = Attack> {
    framings(HIDDEN).into_iter().chain(chunks()).chain(malformed()).chain(heads())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_gets_no_request_that_two_servers_could_read_differently() {
    let (listener, upstream) = listening().await;
    let world = front(&upstream, &[("FRONT_PASS_PATIENCE", "5s")]).await;
    let recorder = Recorder::start(listener);
    let mut wrong = Vec::new();
    for Attack { bytes, seen, statuses: expected } in all() {
        let got = statuses(world.front.port().unwrap(), format!("{bytes}{NEXT}").as_bytes()).await;
        let taken = recorder.taken();
        if taken != seen || got != expected {
            wrong.push(format!("{bytes:?}\n  the service: {taken:?}\n  the caller: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_hidden_in_another_request_is_not_accepted() {
    let (listener, upstream) = listening().await;
    let world = World::with_front(&[("COUNTRY_CONFIG_URL", &upstream)]).await;
    let recorder = Recorder::start(listener);
    let birth = births(1, 143).remove(0);
    let hidden = Post::new(&token(&world, &birth), bundle(&birth).to_string());
    let length = format!("Content-Length: {}", hidden.body.len());
    let head = String::from_utf8(hidden.clone().with(&length).head()).unwrap();
    let body = String::from_utf8(hidden.body.clone()).unwrap();
    for Attack { bytes, .. } in framings(&format!("{head}{body}")) {
        for path in ["/x", "/event-registration"] {
            let bytes = bytes.replacen("/x", path, 1);
            let got = statuses(world.front.port().unwrap(), format!("{bytes}{NEXT}").as_bytes()).await;
            assert!(got.len() <= 2 && !got.contains(&202), "{got:?}: {bytes}");
            let taken = recorder.taken();
            let fine = |line: &String| line == "POST /x" || line == "GET /next";
            assert!(taken.len() <= 2 && taken.iter().all(fine), "{taken:?}: {bytes}");
        }
    }
    let look = world.look().await;
    assert_eq!(look.depth("registrations.work").await.unwrap().ready, 0);
    assert_eq!(hidden.to(&world.front).await.status, 202, "by itself it is accepted");
    look.close().await;
}

/// nginx as it is shipped, before this front.
async fn nginx_before(world: &World) -> Nginx {
    let front = world.front.port().unwrap();
    let nginx = Nginx::start(&temporary("nginx"), free_port(), &[front, front], 1);
    eventually(SOON, "nginx answers", async || nginx.answers().then_some(())).await;
    nginx
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_the_service_gets_no_hidden_request_either() {
    let (listener, upstream) = listening().await;
    let world = front(&upstream, &[("FRONT_PASS_PATIENCE", "5s"), ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let recorder = Recorder::start(listener);
    let nginx = nginx_before(&world).await;
    let mut wrong = Vec::new();
    for Attack { bytes, .. } in all() {
        let got = statuses(nginx.port, format!("{bytes}{NEXT}").as_bytes()).await;
        let taken = recorder.taken();
        let fine = |line: &String| ["POST /x", "GET /x", "GET /next"].contains(&line.as_str());
        let once = taken.first() != taken.get(1) && taken.len() <= 2;
        if !(taken.is_empty() || once) || !taken.iter().all(fine) || got.len() > 2 {
            wrong.push(format!("{bytes:?}\n  the service: {taken:?}\n  the caller: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_a_caller_says_nothing_about_itself() {
    let (service, upstream) = listening().await;
    let world = front(&upstream, &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let nginx = nginx_before(&world).await;
    let mut caller = TcpStream::connect(("127.0.0.1", nginx.port)).await.unwrap();
    let request = "GET /forms HTTP/1.1\r\nHost: country.gov\r\nX-Forwarded-For: 198.51.100.7\r\n\
                   X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nForwarded: for=198.51.100.7\r\n\
                   X-Real-IP: 198.51.100.7\r\nConnection: x-forwarded-for, x-real-ip\r\n\r\n";
    caller.write_all(request.as_bytes()).await.unwrap();
    let mut called = timeout(SOON, service.accept()).await.expect("a call of the service").unwrap().0;
    let head = head(&mut called).await.to_lowercase();
    for expected in [
        "x-forwarded-for: 127.0.0.1, 127.0.0.1\r\n",
        "x-forwarded-host: country.gov\r\n",
        "x-forwarded-proto: http\r\n",
        "x-real-ip: 127.0.0.1\r\n",
    ] {
        assert_eq!(head.matches(expected).count(), 1, "{expected}{head}");
    }
    for gone in ["198.51.100.7", "evil.example", "\r\nforwarded:", "https"] {
        assert!(!head.contains(gone), "{gone}: {head}");
    }
}
