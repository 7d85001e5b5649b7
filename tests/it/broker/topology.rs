//! The topology: applying it is idempotent, and a difference is reported.

use nidbridge::pipeline::{names, topology};
use std::sync::Arc;

use nidbridge::broker::{Link, LinkSettings, LinkState, Topology, WorkQueue};

use super::SOON;
use crate::harness::Vhosts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applying_twice_changes_nothing_and_checks_clean() {
    let vhosts = Vhosts::fresh().await;
    let topology = topology::bridge(&vhosts.settings, &[names::AMQP_SYSTEM]);
    let link = vhosts.link(topology.clone()).await;
    link.apply(&topology).await.unwrap();
    assert_eq!(link.check(&topology).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_argument_and_a_missing_queue_are_named_with_what_to_do() {
    let vhosts = Vhosts::fresh().await;
    let (one, two) = (WorkQueue::new("one", &[], &[]), WorkQueue::new("two", &[], &[]));
    let link =
        vhosts.link(Topology::of(&vhosts.bridge, std::slice::from_ref(&one), &vhosts.settings.limits)).await;
    let mut changed = vhosts.settings.clone();
    changed.limits.delivery_limit = 7;
    let wanted = Topology::of(&vhosts.bridge, &[one, two], &changed.limits);
    let texts: Vec<_> = link.check(&wanted).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 4, "{texts:?}");
    assert!(texts[0].starts_with("`two.settle` is missing"), "{texts:?}");
    assert!(texts[1].starts_with("`one` has other arguments on the broker"), "{texts:?}");
    assert!(texts[1].contains("x-delivery-limit"), "{texts:?}");
    assert!(texts[2].starts_with("`two.parked` is missing"), "{texts:?}");
    assert!(texts[3].starts_with("`two` is missing"), "{texts:?}");

    for apply_topology in [true, false] {
        let settings = LinkSettings { apply_topology, ..vhosts.link_settings("wrong") };
        let wrong = Link::open(&settings, wanted.clone(), Arc::new(nidbridge::broker::Unobserved));
        let mut state = wrong.state();
        let named =
            |state: &LinkState| matches!(state, LinkState::Refused(why) if why.contains("x-delivery-limit"));
        tokio::time::timeout(SOON, state.wait_for(named)).await.expect("it is named").expect("a link");
        wrong.close().await;
    }
}
