//! Publishing: `Ok` means stored, and each error says what is known about the message.

use nidbridge::pipeline::{names, targets, topology};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nidbridge::broker::{LinkSettings, LinkState, NotSent, PublishError, Target, Topology, WorkQueue};
use secrecy::SecretString;

use super::{SOON, message, put};
use crate::harness::vhosts::connected;
use crate::harness::{Vhosts, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmed_message_is_in_its_queue_with_all_that_it_carries() {
    let vhosts = Vhosts::fresh().await;
    let link = vhosts.link(topology::bridge(&vhosts.settings, &[names::AMQP_SYSTEM])).await;
    let mut outgoing = message("one");
    outgoing.correlation_id = Some("correlation".into());
    outgoing.headers.insert("note".into(), "kept".into());
    link.publisher().publish(&targets::registrations(), outgoing).await.unwrap();
    let got = link.take(names::REGISTRATIONS_WORK).await.unwrap().expect("the message");
    assert_eq!(got.id.as_deref(), Some("one"));
    assert_eq!(got.kind.as_deref(), Some("story.v1"));
    assert_eq!(got.correlation_id.as_deref(), Some("correlation"));
    assert_eq!(got.headers["note"], "kept");
    assert_eq!((got.attempt, &got.body[..]), (0, &b"one"[..]));
    link.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unroutable_message_is_an_error_for_the_vendor_and_kept_in_our_vhost() {
    let vhosts = Vhosts::fresh().await;
    let ours = vhosts.link(topology::bridge(&vhosts.settings, &[names::AMQP_SYSTEM])).await;
    ours.publisher().publish(&targets::requests("nobody"), message("one")).await.unwrap();
    assert_eq!(ours.take(names::UNROUTED).await.unwrap().unwrap().routing_key, "nobody");

    let nid = nidbridge::broker::Link::open(
        &vhosts.nid_link_settings("nid"),
        topology::national_id(&vhosts.settings),
        Arc::new(nidbridge::broker::Unobserved),
    );
    let nid = connected(nid).await;
    let refused = nid.publisher().publish(&targets::nid_requests("marriage"), message("two")).await;
    assert!(matches!(refused, Err(PublishError::Unroutable)), "{refused:?}");
    let missing = nid.publisher().publish(&Target::new("no.such.exchange", "x"), message("three")).await;
    assert!(matches!(missing, Err(PublishError::Unroutable)), "{missing:?}");
    nid.publisher().publish(&targets::nid_requests("birth"), message("four")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_takes_again_when_there_is_room() {
    let vhosts = Vhosts::fresh().await;
    let mut settings = vhosts.settings.clone();
    settings.limits.max_length = 3;
    let queue = WorkQueue::new("small", &[], &[]);
    let link = vhosts.link(Topology::of(&vhosts.bridge, &[queue], &settings.limits)).await;
    let mut stored = 0;
    let refused = loop {
        match link.publisher().publish(&Target::queue("small"), message("m")).await {
            Ok(()) => stored += 1,
            Err(cause) => break cause,
        }
        assert!(stored < 10, "a limit of 3 took {stored}");
    };
    assert!(matches!(refused, PublishError::Refused), "{refused:?}");
    while link.take("small").await.unwrap().is_some() {}
    eventually(SOON, "the queue takes messages again", async || {
        link.publisher().publish(&Target::queue("small"), message("m")).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_amqp_cannot_carry_is_refused_before_it_is_sent() {
    let vhosts = Vhosts::fresh().await;
    let queue = WorkQueue::new("q", &[], &[]);
    let link = vhosts.link(Topology::of(&vhosts.bridge, &[queue], &vhosts.settings.limits)).await;
    let long = "x".repeat(256);
    let publisher = link.publisher();
    let too_long = publisher.publish(&Target::queue("q"), message(&long)).await;
    assert!(matches!(too_long, Err(PublishError::NotSent(NotSent::TooLong(_)))), "{too_long:?}");
    let too_long = publisher.publish(&Target::queue(long), message("m")).await;
    assert!(matches!(too_long, Err(PublishError::NotSent(NotSent::TooLong(_)))), "{too_long:?}");
    let mut large = message("m");
    large.body = vec![0; 9 * 1024 * 1024];
    let too_large = publisher.publish(&Target::queue("q"), large).await;
    assert!(matches!(too_large, Err(PublishError::TooLarge)), "{too_large:?}");
    put(&link, "q", "fits").await;
}

#[tokio::test]
async fn without_a_broker_nothing_is_sent_and_the_state_says_why() {
    let topology = Topology::empty("x");
    for (url, is_refused) in [("amqp://guest:hidden@127.0.0.1:1/x", false), ("no url, but hidden", true)] {
        let link = nidbridge::broker::Link::open(
            &LinkSettings::new("test", SecretString::from(url)),
            topology.clone(),
            Arc::new(nidbridge::broker::Unobserved),
        );
        let mut state = link.state();
        let tried = |state: &LinkState| state.why_not().is_some_and(|why| why != "connecting");
        let now = tokio::time::timeout(SOON, state.wait_for(tried)).await.unwrap().unwrap().clone();
        assert_eq!(matches!(now, LinkState::Refused(_)), is_refused, "{now:?}");
        assert!(!format!("{now:?}").contains("hidden"), "{now:?}");
        let sent = link.publisher().publish(&Target::queue("q"), message("m")).await;
        assert!(matches!(sent, Err(PublishError::NotSent(NotSent::Away(_)))), "{sent:?}");
        assert!(!link.publisher().available(Duration::from_millis(10)).await);
        link.close().await;
    }
}

/// A trap of the client library: confirms are mixed up when a channel is shared or a publish is
/// cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_go_away_never_spoil_the_answer_of_another() {
    const TASKS: usize = 64;
    const EACH: usize = 40;
    let vhosts = Vhosts::fresh().await;
    let queue = WorkQueue::new("q", &[], &[]);
    let topology = Topology::of(&vhosts.bridge, &[queue], &vhosts.settings.limits);
    let settings = LinkSettings { channels: 24, ..vhosts.link_settings("test") };
    let link = connected(nidbridge::broker::Link::open(
        &settings,
        topology,
        Arc::new(nidbridge::broker::Unobserved),
    ))
    .await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let publisher = link.publisher();
        tasks.spawn(async move {
            let mut stored = Vec::new();
            for number in 0..EACH {
                let id = format!("{task}-{number}");
                let (there, goes_away) = (number % 3 != 0, number % 5 == 4);
                let to = Target::queue(if there { "q" } else { "nobody" });
                let publish = publisher.publish(&to, message(&id));
                let patience = Duration::from_micros(if goes_away { 300 } else { 60_000_000 });
                let Ok(outcome) = tokio::time::timeout(patience, publish).await else { continue };
                match (there, outcome) {
                    (true, Ok(())) => stored.push(id),
                    (false, Err(PublishError::Unroutable)) => {}
                    (there, outcome) => panic!("{id}: there: {there}, {outcome:?}"),
                }
            }
            stored
        });
    }
    let mut stored = BTreeSet::new();
    while let Some(done) = tasks.join_next().await {
        stored.extend(done.expect("every answer is the right one"));
    }
    let mut found = BTreeSet::new();
    while let Some(got) = link.take("q").await.unwrap() {
        found.insert(String::from_utf8(got.body.to_vec()).unwrap());
    }
    assert!(stored.is_subset(&found), "confirmed and lost: {:?}", stored.difference(&found));
    assert!(found.iter().all(|id| id.split('-').nth(1).unwrap().parse::<usize>().unwrap() % 3 != 0));
    assert!(stored.len() > TASKS * EACH / 3, "{}", stored.len());
}
