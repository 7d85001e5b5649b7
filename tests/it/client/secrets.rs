//! The secret of the client is rotated, wrong or gone. Nothing is parked, operators are alerted
//! once, and the work goes on by itself.

use super::*;

on_both_ledgers![a_refused_secret_opens_the_breaker_alerts_once_and_the_right_one_in_the_file_is_enough,];

/// The dependencies whose breaker is open, according to the confirmer's `/readyz`.
fn left_alone(fixture: &Fixture) -> String {
    let (status, body) = fixture.world.admin("confirmer", "/readyz").unwrap();
    assert_eq!(status, 200, "a restart would not help: {body}");
    serde_json::from_str::<serde_json::Value>(&body).unwrap()["left_alone"].to_string()
}

async fn a_refused_secret_opens_the_breaker_alerts_once_and_the_right_one_in_the_file_is_enough(
    engine: Engine,
) {
    let fixture = Fixture::new(engine, Release::V2_1, &scopes("birth,death")).await;
    let families = people(Kind::Birth, 5, 411);
    let (first, others) = families.split_first().unwrap();
    fixture.submit(first).await;
    fixture.is_confirmed(first).await;
    fixture.world.opencrvs.behave(|behaviour| behaviour.rotation_kills_tokens = true);
    let secret = fixture.world.opencrvs.rotate_secret(&fixture.client).unwrap();
    for family in others {
        fixture.submit(family).await;
    }
    fixture.alert(Cause::ClientRefused).await;
    eventually(SOON, "the breaker is open", async || left_alone(&fixture).contains("auth").then_some(()))
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    fixture.all_are(others, "answered").await;
    assert_eq!(fixture.alerts().len(), 1, "one alert for all records and all tries");
    assert_eq!(fixture.world.metric("confirmer", ALARMS, "client_refused"), 1.0);
    std::fs::write(&fixture.secret, format!("{secret}\n")).unwrap();
    for family in others {
        fixture.is_confirmed(family).await;
    }
    eventually(SOON, "the breaker is closed", async || (left_alone(&fixture) == "[]").then_some(())).await;
    assert_eq!(fixture.alerts().len(), 1);
    fixture.is_undamaged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_incident_raises_a_second_alert() {
    let fixture = Fixture::new(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    fixture.world.opencrvs.behave(|behaviour| behaviour.rotation_kills_tokens = true);
    for (n, family) in people(Kind::Birth, 2, 412).iter().enumerate() {
        let secret = fixture.world.opencrvs.rotate_secret(&fixture.client).unwrap();
        fixture.submit(family).await;
        let alerted = async || (fixture.alerts().len() == n + 1).then_some(());
        eventually(SOON, "an alert", alerted).await;
        std::fs::write(&fixture.secret, format!("{secret}\n")).unwrap();
        fixture.is_confirmed(family).await;
    }
    assert_eq!(fixture.alerts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_incident_raises_a_second_alert_although_the_confirmer_was_killed_in_the_first() {
    let mut fixture = Fixture::new(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    fixture.world.opencrvs.behave(|behaviour| behaviour.rotation_kills_tokens = true);
    let families = people(Kind::Birth, 2, 416);
    for (n, family) in families.iter().enumerate() {
        let secret = fixture.world.opencrvs.rotate_secret(&fixture.client).unwrap();
        fixture.submit(family).await;
        let alerted = async || (fixture.alerts().len() == n + 1).then_some(());
        eventually(SOON, "an alert", alerted).await;
        let (_, list) = fixture.world.run(&["attempts", "list"], &[]).await;
        assert!(list.contains("\nclient_refused: "), "{list}");
        fixture.world.kill9("confirmer");
        std::fs::write(&fixture.secret, format!("{secret}\n")).unwrap();
        fixture.world.start("confirmer");
        fixture.is_confirmed(family).await;
        eventually(SOON, "the list says nothing of the client any more", async || {
            let (_, list) = fixture.world.run(&["attempts", "list"], &[]).await;
            (!list.contains("client_refused")).then_some(())
        })
        .await;
    }
    assert_eq!(fixture.alerts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_secret_bridges_a_rotation_without_an_alert() {
    let mut fixture = Fixture::prepared(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    let next = fixture.world.dir.join("next-secret");
    std::fs::write(&next, "").unwrap();
    fixture.world.set("OPENCRVS_CLIENT_SECRET_NEXT_FILE", &next.display().to_string());
    fixture.start().await;
    let families = people(Kind::Birth, 2, 413);
    fixture.submit(&families[0]).await;
    fixture.is_confirmed(&families[0]).await;
    for kills in [false, true] {
        fixture.world.opencrvs.behave(|behaviour| behaviour.rotation_kills_tokens = kills);
    }
    let secret = fixture.world.opencrvs.rotate_secret(&fixture.client).unwrap();
    std::fs::write(&next, secret).unwrap();
    fixture.submit(&families[1]).await;
    fixture.is_confirmed(&families[1]).await;
    assert_eq!(fixture.alerts(), []);
    assert!(fixture.world.opencrvs.token_requests().refused >= 1, "the first secret was tried first");
}

#[tokio::test(flavor = "multi_thread")]
async fn access_tokens_that_outlive_a_rotation_are_used_to_their_end() {
    let fixture = Fixture::prepared(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    fixture.world.opencrvs.behave(|behaviour| behaviour.client_token_lifetime = Duration::from_secs(3));
    let mut fixture = fixture;
    fixture.start().await;
    for family in people(Kind::Birth, 4, 414) {
        fixture.submit(&family).await;
        fixture.is_confirmed(&family).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let given = fixture.world.opencrvs.token_requests().given;
    assert!((2..=6).contains(&given), "{given} access tokens");
    assert_eq!(fixture.alerts(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_deleted_in_mid_flight_parks_nothing_and_its_return_is_enough() {
    let fixture = Fixture::new(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    let families = people(Kind::Birth, 3, 415);
    fixture.world.nid.pause_replies();
    for family in &families {
        fixture.submit(family).await;
    }
    assert!(fixture.world.opencrvs.delete_client(&fixture.client));
    fixture.world.nid.resume_replies();
    fixture.alert(Cause::ClientRefused).await;
    fixture.all_are(&families, "answered").await;
    let secret = std::fs::read_to_string(&fixture.secret).unwrap();
    let scopes = scopes("birth,death");
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let credentials = (fixture.client.as_str(), secret.trim());
    assert!(fixture.world.opencrvs.add_client_with(credentials, "NID Bridge", &scopes).is_some());
    for family in &families {
        fixture.is_confirmed(family).await;
    }
    assert_eq!(fixture.alerts().len(), 1);
    fixture.is_undamaged();
}
