//! Browsing: who reads a queue returns its messages before it goes on.

use futures_util::stream::{self, StreamExt as _};
use nidbridge::broker::{Topology, WorkQueue};

use super::put;
use crate::harness::Vhosts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_were_looked_at_are_back_in_their_queue_once_the_look_has_ended() {
    const MESSAGES: usize = 300;
    let vhosts = Vhosts::fresh().await;
    let queue = WorkQueue::new("looked-at", &[], &[]);
    let link = vhosts.link(Topology::of(&vhosts.bridge, &[queue], &vhosts.settings.limits)).await;
    let parked = "looked-at.parked";
    let ids = (0..MESSAGES).map(|number| number.to_string());
    let all = stream::iter(ids).map(async |id| put(&link, parked, &id).await).buffer_unordered(16);
    all.collect::<()>().await;
    for limit in [MESSAGES, 1_000, 100, 1_000] {
        assert_eq!(link.peek(parked, limit).await.unwrap().len(), limit.min(MESSAGES));
        assert_eq!(link.depth(parked).await.unwrap().ready, 300, "after a look at {limit}");
    }
}
