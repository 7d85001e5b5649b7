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
        let fixture = Fixture::new(engine, Release::V2_0, &scopes("birth,death")).await;
        fixture.world.opencrvs.behave(|behaviour| behaviour.stale_token_status = status);
        let families = people(Kind::Birth, 3, 420 + u64::from(status));
        fixture.world.nid.pause_replies();
        for family in &families {
            fixture.submit(family).await;
            stands_as(&fixture.world, &family.record, "requested").await;
        }
        fixture.world.opencrvs.upgrade(Release::V2_1);
        fixture.world.nid.resume_replies();
        // The registrars of 2.0 stay assigned until somebody unassigns them.
        let conflicts = || {
            let of = |family: &Declaration| fixture.world.opencrvs.record(&family.record)?.event;
            families.iter().filter_map(of).map(|file| file.conflicts).min().unwrap()
        };
        eventually(SOON, "conflicts", async || (conflicts() >= 2).then_some(())).await;
        fixture.all_are(&families, "answered").await;
        assert!(fixture.world.opencrvs.unassign_all() >= families.len());
        for family in &families {
            fixture.is_confirmed(family).await;
        }
        assert_eq!(fixture.alerts(), [], "{status}");
        fixture.is_undamaged();
    }
}

async fn a_token_that_expires_ends_nothing_while_there_is_a_client(engine: Engine) {
    let opencrvs =
        OpencrvsSettings { release: Release::V2_0, token_lifetime_s: 5, ..OpencrvsSettings::default() };
    let mut fixture = Fixture::beside(opencrvs, engine, &scopes("birth,death")).await;
    // Without the exchange, the tokens die.
    fixture.world.set("TOKEN_RENEW_UNTIL", "1ms");
    fixture.start().await;
    let family = people(Kind::Birth, 1, 421).remove(0);
    fixture.world.nid.pause_replies();
    fixture.submit(&family).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    fixture.world.opencrvs.upgrade(Release::V2_1);
    fixture.world.opencrvs.unassign_all();
    fixture.world.nid.resume_replies();
    fixture.is_confirmed(&family).await;
    fixture.is_undamaged();
}
