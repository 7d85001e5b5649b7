//! SIGTERM: the first lets a role finish what it is handling, the second ends it at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::harness::eventually;
use crate::harness::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_role_that_is_still_finishing_its_work() {
    let slow = [("BROKER_DRAIN", "1h"), ("FRONT_BODY_TIMEOUT", "1h")];
    let mut world = World::with_front(&slow).await;
    // A caller that never sends its body, although the front reads it: it says "100 Continue".
    let token = world.opencrvs.mint(&world.opencrvs.record_claims("record-1")).unwrap();
    let mut caller = TcpStream::connect(("127.0.0.1", world.front.port().unwrap())).unwrap();
    let head =
        format!("Host: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n");
    write!(caller, "POST /event-registration HTTP/1.1\r\n{head}\r\n").unwrap();
    let mut said = [0; 12];
    caller.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 100");
    kill_process(world.pid("front"), Signal::TERM).unwrap();
    let told = async || world.log_text("front").contains("told to stop").then_some(());
    eventually(SOON, "the front is told to stop", told).await;
    let second = Instant::now();
    assert_eq!(world.terminate("front").await, Some(143));
    assert!(second.elapsed() < Duration::from_secs(5), "{:?}", second.elapsed());
}
