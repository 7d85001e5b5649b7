//! Callers that disconnect in the middle, callers that stop sending, and the headers that real
//! callers send.

use std::collections::BTreeSet;
use std::time::Duration;

use nidbridge::domain::RecordId;
use nidbridge::sandbox::opencrvs::Status;
use tokio::io::AsyncWriteExt as _;

use super::wire::{Post, answer, ask, connect, send, taken_down};
use super::{births, boom, bundle, token};
use crate::harness::ledgers::Engine;
use crate::harness::world::World;
use crate::pipeline::{ends_as, stands_as};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_hang_up_at_any_byte_and_its_headers_are_taken_as_they_are() {
    let world = World::with(Engine::Sqlite, &[("NUMBER_HEADER", "on")]).await;
    let [cut, numbered] = births(2, 131).try_into().unwrap();
    let bytes = taken_down(&world, &cut).await;
    for at in places(&bytes) {
        for abrupt in [false, true] {
            let mut stream = connect(&world.front).await;
            if abrupt {
                stream.set_zero_linger().unwrap();
            }
            stream.write_all(&bytes[..at]).await.unwrap();
            drop(stream);
        }
        let alive = ask(&world.front, "GET", "/ping").await;
        assert_eq!(alive.status, 200, "cut at {at} of {}", bytes.len());
    }
    // The answer is sent and nobody reads it, so OpenCRVS's next try is the same attempt.
    let mut stream = connect(&world.front).await;
    stream.write_all(&bytes).await.unwrap();
    stream.readable().await.unwrap();
    drop(stream);
    assert_eq!(send(&world.front, &bytes).await.status, 202);
    let accepted = world.metric("front", "nidbridge_received_total", "outcome=\"accepted\"");
    assert!(accepted >= 2.0, "{accepted}");
    let known = registered_once(&world, &cut.record).await;
    assert_eq!(known, [world.number_of(&cut).await]);

    let text = String::from_utf8(taken_down(&world, &numbered).await).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let lines: Vec<String> = head.lines().map(str::to_lowercase).collect();
    assert_eq!(lines.iter().filter(|line| *line == "content-type: application/json").count(), 2, "{lines:?}");
    for line in ["host: workflow:5050", "connection: close"] {
        assert!(lines.iter().any(|found| found == line), "{lines:?}");
    }
    let own = text.replacen("\r\n", "\r\nX-Registration-Number: 1999-KLOW-0042\r\n", 1);
    assert_eq!(send(&world.front, own.as_bytes()).await.status, 202);
    assert_eq!(registered_once(&world, &numbered.record).await, ["1999-KLOW-0042"]);
    assert_eq!(world.opencrvs.tally().confirmed_twice, 0);
}

/// A dozen positions to cut a request at: in its first line, in its headers, around their end, in
/// its body, at its end.
fn places(request: &[u8]) -> BTreeSet<usize> {
    let head = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (body, all) = (request.len() - head, request.len());
    let places =
        [0, 1, 20, head / 3, head / 2, head - 2, head - 1, head, head + 1, head + body / 2, all - 1, all];
    places.into_iter().collect()
}

/// Waits until the record is registered, checks that there was one attempt and one confirmation,
/// and returns the numbers in OpenCRVS.
async fn registered_once(world: &World, record: &str) -> Vec<String> {
    ends_as(world, record, Status::Registered).await;
    stands_as(world, record, "confirmed").await;
    let history = world.ledger.history(&RecordId::parse(record).unwrap()).await.unwrap();
    let attempts: BTreeSet<String> =
        history.iter().filter_map(|entry| entry.attempt).map(|id| id.to_string()).collect();
    assert_eq!(attempts.len(), 1, "{history:?}");
    let seen = world.opencrvs.record(record).unwrap();
    assert_eq!(seen.confirms.len(), 1);
    seen.numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_stops_sending_is_dropped_and_delays_nobody() {
    // Enough memory for one body of unknown length.
    let settings = [("FRONT_BODY_MEMORY", "50MiB"), ("FRONT_BODY_TIMEOUT", "1s"), ("BROKER_DRAIN", "2s")];
    let mut world = World::with_front(&settings).await;
    let declaration = births(1, 132).remove(0);
    let whole = Post::new(&token(&world, &declaration), bundle(&declaration).to_string());
    let mut silent = connect(&world.front).await;
    let head = Post::new(&token(&world, &declaration), "").with("Transfer-Encoding: chunked").head();
    silent.write_all(&[head.as_slice(), b"5\r\n{\"res"].concat()).await.unwrap();
    let taken = tokio::time::timeout(Duration::from_secs(20), whole.to(&world.front)).await;
    assert_eq!(taken.expect("the silent one holds up nobody").status, 202);
    boom(&answer(&mut silent).await, "silent", 408, "Request Timeout");
    // It does not delay the end of the process either.
    let mut half = connect(&world.front).await;
    half.write_all(&head[..head.len() / 2]).await.unwrap();
    let nothing = connect(&world.front).await;
    assert_eq!(ask(&world.front, "GET", "/ping").await.status, 200);
    assert_eq!(world.terminate("front").await, Some(0));
    drop((half, nothing));
}
