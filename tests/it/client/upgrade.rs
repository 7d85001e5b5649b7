//! OpenCRVS is upgraded while registrations wait for their answer: those of 2.0 are answered by the
//! client on 2.1, each once.

use super::*;

on_both_ledgers![
    what_was_accepted_on_2_0_and_is_answered_after_the_upgrade_is_confirmed_by_the_client,
    a_token_that_expires_ends_nothing_while_there_is_a_client,
];

async fn what_was_accepted_on_2_0_and_is_answered_after_the_upgrade_is_confirmed_by_the_client(
    engine: Engine,
) {
    for status in [401, 403] {
        let ground = Ground::new(engine, Release::V2_0, &scopes("birth,death")).await;
        ground.world.opencrvs.behave(|behaviour| behaviour.stale_token_status = status);
        let families = people(Kind::Birth, 3, 420 + u64::from(status));
        ground.world.nid.pause_replies();
        for family in &families {
            ground.submit(family).await;
            stands_as(&ground.world, &family.record, "requested").await;
        }
        ground.world.opencrvs.upgrade(Release::V2_1);
        ground.world.nid.resume_replies();
        // The registrars of 2.0 stay assigned until somebody unassigns them.
        let conflicts = || {
            let of = |family: &Declaration| ground.world.opencrvs.record(&family.record)?.event;
            families.iter().filter_map(of).map(|file| file.conflicts).min().unwrap()
        };
        eventually(SOON, "conflicts", async || (conflicts() >= 2).then_some(())).await;
        ground.all_are(&families, "answered").await;
        assert!(ground.world.opencrvs.unassign_all() >= families.len());
        for family in &families {
            ground.is_confirmed(family).await;
        }
        assert_eq!(ground.alerts(), [], "{status}");
        ground.is_undamaged();
    }
}

async fn a_token_that_expires_ends_nothing_while_there_is_a_client(engine: Engine) {
    let opencrvs =
        OpencrvsSettings { release: Release::V2_0, token_lifetime_s: 5, ..OpencrvsSettings::default() };
    let mut ground = Ground::beside(opencrvs, engine, &scopes("birth,death")).await;
    // Without the exchange, the tokens die.
    ground.world.set("TOKEN_RENEW_UNTIL", "1ms");
    ground.start().await;
    let family = people(Kind::Birth, 1, 421).remove(0);
    ground.world.nid.pause_replies();
    ground.submit(&family).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    ground.world.opencrvs.upgrade(Release::V2_1);
    ground.world.opencrvs.unassign_all();
    ground.world.nid.resume_replies();
    ground.is_confirmed(&family).await;
    ground.is_undamaged();
}
