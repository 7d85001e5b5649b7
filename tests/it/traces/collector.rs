//! A trace collector that keeps what it receives: OTLP over HTTP, protobuf.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;

/// A received span. Ids are in hexadecimal.
#[derive(Debug, Clone)]
pub struct Seen {
    pub role: String,
    pub name: String,
    pub trace: String,
    pub parent: String,
    /// The traces that the span links to.
    pub links: Vec<String>,
}

/// A collector. Its threads end with their connections.
pub struct Collector {
    pub endpoint: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { endpoint, bodies }
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bodies.lock().unwrap().concat()
    }

    pub fn spans(&self) -> Vec<Seen> {
        let bodies = self.bodies.lock().unwrap();
        let requests = bodies.iter().map(|body| ExportTraceServiceRequest::decode(&body[..]).expect("OTLP"));
        requests.flat_map(|request| request.resource_spans).flat_map(read).collect()
    }

    /// The roles that have sent spans.
    pub fn roles(&self) -> BTreeSet<String> {
        self.spans().into_iter().map(|span| span.role).collect()
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<Vec<u8>>>) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = receive(&mut reader) {
        kept.lock().unwrap().push(body);
        if reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            break;
        }
    }
}

fn receive(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length?];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn read(of_one: ResourceSpans) -> Vec<Seen> {
    let attributes = of_one.resource.map(|resource| resource.attributes).unwrap_or_default();
    let role = attributes.into_iter().find(|attribute| attribute.key == "nidbridge.role");
    let role = match role.and_then(|role| role.value?.value) {
        Some(Value::StringValue(role)) => role,
        other => panic!("no role: {other:?}"),
    };
    let spans = of_one.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans
        .map(|span| Seen {
            role: role.clone(),
            name: span.name,
            trace: hex(&span.trace_id),
            parent: hex(&span.parent_span_id),
            links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text");
        text
    })
}
