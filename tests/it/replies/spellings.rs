//! One ID in many spellings: it belongs to the first record, however the ID system writes it.

use nidbridge::domain::Cause;
use nidbridge::sandbox::population::Kind;

use super::{Vendor, alarmed, asked, issued};
use crate::gateway::{confirms, standing};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::stands_as;

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_record_is_known_in_every_spelling_and_never_written_twice() {
    let mut world = World::new(Engine::Sqlite).await;
    let births = asked(&world, Kind::Birth, 8, 43).await;
    let vendor = Vendor::of(&world).await;
    let reply = async |n: usize, id: &str| {
        vendor.replies(&issued(&request_of(&births[n].record, "birth"), 1, id)).await;
    };
    reply(0, "3260054197").await;
    stands_as(&world, &births[0].record, "confirmed").await;
    for (n, id) in [(1, "3260 054 197"), (2, "3260\u{a0}054197"), (3, "3260-054-197"), (4, "٣٢٦٠٠٥٤١٩٧")]
    {
        reply(n, id).await;
        let parked = standing(&world, &births[n].record, "parked", id).await;
        assert_eq!(parked.cause, Some(Cause::IdOfAnotherRecord.into()), "{id}");
    }
    // What cannot be seen makes the reply malformed, and the registration waits for a better one.
    for (n, id) in [(5, "3260054197\u{200b}"), (6, "\u{feff}3260054197"), (7, "3260\u{ad}054197")] {
        reply(n, id).await;
    }
    let link = world.look_nid().await;
    eventually(SOON, "three are malformed", async || {
        (link.depth("nid.replies.refused").await.ok()?.ready == 3).then_some(())
    })
    .await;
    link.close().await;
    for birth in &births[5..] {
        stands_as(&world, &birth.record, "requested").await;
    }
    for birth in &births[1..] {
        assert_eq!(confirms(&world, &birth.record), 0);
    }
    alarmed(&world, "worker", "id_of_another_record", 4.0).await;
    let first = world.opencrvs.record(&births[0].record).unwrap();
    assert_eq!(first.identifiers["NATIONAL_ID"], "3260054197");
    world.assert_all_run();
}
