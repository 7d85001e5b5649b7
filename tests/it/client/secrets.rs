//! The secret of the client is rotated, wrong or gone. Nothing is parked, operators are alerted
//! once, and the work goes on by itself.

use super::*;

on_both_ledgers![a_refused_secret_opens_the_breaker_alerts_once_and_the_right_one_in_the_file_is_enough,];

/// The dependencies whose breaker is open, according to the confirmer's `/readyz`.
fn left_alone(ground: &Ground) -> String {
    let (status, body) = ground.world.admin("confirmer", "/readyz").unwrap();
    assert_eq!(status, 200, "a restart would not help: {body}");
    serde_json::from_str::<serde_json::Value>(&body).unwrap()["left_alone"].to_string()
}

async fn a_refused_secret_opens_the_breaker_alerts_once_and_the_right_one_in_the_file_is_enough(
    engine: Engine,
) {
    let ground = Ground::new(engine, Release::V2_1, &scopes("birth,death")).await;
    let families = people(Kind::Birth, 5, 411);
    let (first, others) = families.split_first().unwrap();
    ground.submit(first).await;
    ground.is_confirmed(first).await;
    ground.world.opencrvs.behave(|behaviour| behaviour.rotation_kills_tokens = true);
    let secret = ground.world.opencrvs.rotate_secret(&ground.client).unwrap();
    for family in others {
        ground.submit(family).await;
    }
    ground.alert(Cause::ClientRefused).await;
    eventually(SOON, "the breaker is open", async || left_alone(&ground).contains("auth").then_some(()))
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ground.all_are(others, "answered").await;
    assert_eq!(ground.alerts().len(), 1, "one alert for all records and all tries");
    assert_eq!(ground.world.metric("confirmer", ALARMS, "client_refused"), 1.0);
    std::fs::write(&ground.secret, format!("{secret}\n")).unwrap();
    for family in others {
        ground.is_confirmed(family).await;
    }
    eventually(SOON, "the breaker is closed", async || (left_alone(&ground) == "[]").then_some(())).await;
    assert_eq!(ground.alerts().len(), 1);
    ground.is_undamaged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_incident_raises_a_second_alert() {
    let ground = Ground::new(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    ground.world.opencrvs.behave(|behaviour| behaviour.rotation_kills_tokens = true);
    for (n, family) in people(Kind::Birth, 2, 412).iter().enumerate() {
        let secret = ground.world.opencrvs.rotate_secret(&ground.client).unwrap();
        ground.submit(family).await;
        let alerted = async || (ground.alerts().len() == n + 1).then_some(());
        eventually(SOON, "an alert", alerted).await;
        std::fs::write(&ground.secret, format!("{secret}\n")).unwrap();
        ground.is_confirmed(family).await;
    }
    assert_eq!(ground.alerts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_secret_bridges_a_rotation_without_an_alert() {
    let mut ground = Ground::prepared(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    let next = ground.world.dir.join("next-secret");
    std::fs::write(&next, "").unwrap();
    ground.world.set("OPENCRVS_CLIENT_SECRET_NEXT_FILE", &next.display().to_string());
    ground.start().await;
    let families = people(Kind::Birth, 2, 413);
    ground.submit(&families[0]).await;
    ground.is_confirmed(&families[0]).await;
    for kills in [false, true] {
        ground.world.opencrvs.behave(|behaviour| behaviour.rotation_kills_tokens = kills);
    }
    let secret = ground.world.opencrvs.rotate_secret(&ground.client).unwrap();
    std::fs::write(&next, secret).unwrap();
    ground.submit(&families[1]).await;
    ground.is_confirmed(&families[1]).await;
    assert_eq!(ground.alerts(), []);
    assert!(ground.world.opencrvs.token_requests().refused >= 1, "the first secret was tried first");
}

#[tokio::test(flavor = "multi_thread")]
async fn access_tokens_that_outlive_a_rotation_are_used_to_their_end() {
    let ground = Ground::prepared(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    ground.world.opencrvs.behave(|behaviour| behaviour.client_token_lifetime = Duration::from_secs(3));
    let mut ground = ground;
    ground.start().await;
    for family in people(Kind::Birth, 4, 414) {
        ground.submit(&family).await;
        ground.is_confirmed(&family).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let given = ground.world.opencrvs.token_requests().given;
    assert!((2..=6).contains(&given), "{given} access tokens");
    assert_eq!(ground.alerts(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_deleted_in_mid_flight_parks_nothing_and_its_return_is_enough() {
    let ground = Ground::new(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    let families = people(Kind::Birth, 3, 415);
    ground.world.nid.pause_replies();
    for family in &families {
        ground.submit(family).await;
    }
    assert!(ground.world.opencrvs.delete_client(&ground.client));
    ground.world.nid.resume_replies();
    ground.alert(Cause::ClientRefused).await;
    ground.all_are(&families, "answered").await;
    let secret = std::fs::read_to_string(&ground.secret).unwrap();
    let scopes = scopes("birth,death");
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let credentials = (ground.client.as_str(), secret.trim());
    assert!(ground.world.opencrvs.add_client_with(credentials, "NID Bridge", &scopes).is_some());
    for family in &families {
        ground.is_confirmed(family).await;
    }
    assert_eq!(ground.alerts().len(), 1);
    ground.is_undamaged();
}
