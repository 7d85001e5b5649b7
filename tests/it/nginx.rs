//! The behaviour of the shipped nginx configuration when fronts do not answer. OpenCRVS's events
//! service never gets anything but 202 or 400, and a proxied request is never sent to two fronts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::harness::nginx::Nginx;
use crate::harness::ports::free_port;
use crate::harness::world::SOON;
use crate::harness::{eventually, temporary};

const REGISTER: &str = "/trigger/events/birth/actions/REGISTER";
const DECLARE: &str = "/trigger/events/birth/actions/DECLARE";
const BUNDLE: &str = "/event-registration";
/// The factor by which nginx's timeouts are shortened: 30 s become 1 s.
const FASTER: u32 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Accept,
    Hang,
    Break,
    Answer503,
}

/// A front that listens until this value is dropped.
struct Front {
    _serving: JoinSet<()>,
}

/// The fronts that were asked, in order.
type Asked = Arc<Mutex<Vec<u16>>>;

impl Front {
    async fn listen(port: u16, does: Does, asked: &Asked) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (mut serving, asked) = (JoinSet::new(), Arc::clone(asked));
        serving.spawn(async move {
            let mut callers = JoinSet::new();
            while let Ok((caller, _)) = listener.accept().await {
                callers.spawn(serve(caller, does, port, Arc::clone(&asked)));
            }
        });
        Self { _serving: serving }
    }
}

async fn serve(mut caller: TcpStream, does: Does, port: u16, asked: Asked) {
    let mut request = Vec::new();
    while !request.ends_with(BODY) {
        if caller.read_buf(&mut request).await.unwrap_or_default() == 0 {
            return;
        }
    }
    asked.lock().unwrap().push(port);
    let answer: &[u8] = match does {
        Does::Accept => b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        Does::Answer503 => b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        Does::Hang => std::future::pending().await,
        Does::Break => return,
    };
    caller.write_all(answer).await.unwrap_or_default();
}

const BODY: &[u8] = b"{\"the\":\"document\"}";

fn request(path: &str) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        BODY.len()
    );
    [head.as_bytes(), BODY].concat()
}

async fn connect(nginx: &Nginx) -> TcpStream {
    TcpStream::connect(("127.0.0.1", nginx.port)).await.unwrap()
}

async fn ask(nginx: &Nginx, path: &str) -> u16 {
    let mut caller = connect(nginx).await;
    caller.write_all(&request(path)).await.unwrap();
    let mut answer = String::new();
    let reading = caller.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), reading).await.unwrap().unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
}

async fn before(fronts: [u16; 2]) -> Nginx {
    let nginx = Nginx::start(&temporary("nginx"), free_port(), &fronts, FASTER);
    eventually(SOON, "nginx answers", async || nginx.answers().then_some(())).await;
    nginx
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_of_the_events_generation_is_taken_or_refused_and_never_left_open() {
    use Does::{Accept, Answer503, Break, Hang};
    for (does, trigger, bundle) in [
        ([None, None], 400, 502),
        ([Some(Accept), None], 202, 202),
        ([Some(Hang), Some(Accept)], 202, 202),
        ([Some(Break), Some(Accept)], 202, 202),
        ([Some(Answer503), Some(Accept)], 202, 202),
        ([Some(Break), Some(Break)], 400, 502),
        ([Some(Answer503), Some(Answer503)], 400, 503),
        ([Some(Hang), Some(Hang)], 400, 504),
    ] {
        // The port of a front that ended can be used again only when no connection to it is left.
        let ports = [free_port(), free_port()];
        let nginx = before(ports).await;
        let asked = Asked::default();
        let mut fronts = Vec::new();
        for (port, does) in ports.into_iter().zip(does) {
            if let Some(does) = does {
                fronts.push(Front::listen(port, does, &asked).await);
            }
        }
        // nginx tries each of the two first once.
        for _ in 0..2 {
            assert_eq!(ask(&nginx, REGISTER).await, trigger, "{does:?}");
            assert_eq!(ask(&nginx, BUNDLE).await, bundle, "{does:?}");
            asked.lock().unwrap().clear();
            let passed = ask(&nginx, DECLARE).await;
            assert!(asked.lock().unwrap().len() <= 1, "{does:?}: {passed} was sent to two fronts");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_202_for_unanswered_triggers_a_refused_one_still_gets_400() {
    use Does::{Answer503, Break, Hang};
    for (does, trigger) in [
        ([None, None], 202),
        ([Some(Break), None], 202),
        ([Some(Hang), Some(Hang)], 202),
        // A front that answers 503 does not have the registration.
        ([Some(Answer503), Some(Answer503)], 400),
    ] {
        let (ports, asked) = ([free_port(), free_port()], Asked::default());
        let nginx = Nginx::start_changed(&temporary("nginx"), free_port(), &ports, FASTER, |shipped| {
            assert!(shipped.contains("#return 202;"), "{shipped}");
            shipped.replace("#return 202;", "return 202;")
        });
        eventually(SOON, "nginx answers", async || nginx.answers().then_some(())).await;
        let mut fronts = Vec::new();
        for (port, does) in ports.into_iter().zip(does) {
            if let Some(does) = does {
                fronts.push(Front::listen(port, does, &asked).await);
            }
        }
        for _ in 0..2 {
            assert_eq!(ask(&nginx, REGISTER).await, trigger, "{does:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_comes_back_while_the_other_one_hangs_is_asked_again() {
    let (ports, asked) = ([free_port(), free_port()], Asked::default());
    let nginx = Arc::new(before(ports).await);
    let _hangs = Front::listen(ports[0], Does::Hang, &asked).await;
    // Whichever front nginx tries first: one that refused before the other one hung is tried once
    // more.
    for _ in 0..4 {
        asked.lock().unwrap().clear();
        let answer = tokio::spawn({
            let nginx = Arc::clone(&nginx);
            async move { ask(&nginx, REGISTER).await }
        });
        let hangs = async || (asked.lock().unwrap().len() == 1).then_some(());
        eventually(SOON, "the one that hangs was asked", hangs).await;
        let _back = Front::listen(ports[1], Does::Accept, &asked).await;
        assert_eq!(answer.await.unwrap(), 202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_processed_although_its_caller_disconnects() {
    let (ports, asked) = ([free_port(), free_port()], Asked::default());
    let nginx = before(ports).await;
    let _hangs = Front::listen(ports[0], Does::Hang, &asked).await;
    let _other = Front::listen(ports[1], Does::Hang, &asked).await;
    let mut caller = connect(&nginx).await;
    caller.write_all(&request(REGISTER)).await.unwrap();
    drop(caller);
    let twice = async || (asked.lock().unwrap().len() >= 2).then_some(());
    eventually(SOON, "the other front is asked, although nobody waits", twice).await;
}
