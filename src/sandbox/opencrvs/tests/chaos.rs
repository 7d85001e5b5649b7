//! The faults of a chaos run, one by one, on the simulated OpenCRVS.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::sandbox::population::{Declaration, Kind, Mix, Population};

#[tokio::test]
async fn a_late_confirm_comes_into_force_over_whatever_is_there_by_then() {
    let fixture = Fixture::new().await;
    let faults = fixture.sim.faults();
    faults.next(Calls::Confirm, 1, Fault::hang_late(2_500));
    faults.next(Calls::Confirm, 1, Fault::cut_late(0));
    fixture.confirm_and_disconnect().await;
    assert_eq!(fixture.confirms(), 0);
    let second = fixture.resubmit(corrected()).await;
    until("the late confirm", || fixture.confirms() == 1).await;
    let (record, late) = (fixture.record(), fixture.record().confirms[0].clone());
    assert_eq!((late.status_before, late.since, late.attempt), (Status::WaitingValidation, second.stamp, 1));
    assert_eq!((late.fault, record.status()), (Some(Fault::hang_late(2_500)), Status::Registered));
    assert_eq!(record.attempts[1].corrected.as_deref(), Some("Corrected"));
    let whose = fixture.sim.inspect(|records| records.attempt_of(&fixture.declaration.record, &late.token));
    assert_eq!(whose, Some(0), "it came with the token of the older attempt");
    assert!(!fixture.confirm().await);
    until("the second late confirm", || fixture.confirms() == 2).await;
    assert_eq!(
        (fixture.record().confirms[1].status_before, fixture.record().numbers.len()),
        (Status::Registered, 2)
    );
    assert_eq!(fixture.sim.counts().confirmed_unseen, 2);
}

#[tokio::test]
async fn a_late_confirm_that_may_not_be_never_comes() {
    let mut fixture = Fixture::new().await;
    fixture.sim.rotate_key().unwrap();
    fixture.sim.faults().next(Calls::Confirm, 1, Fault::cut_late(0));
    assert!(!fixture.confirm().await);
    fixture.token = fixture.sim.mint(&fixture.sim.record_claims(&fixture.declaration.record)).unwrap();
    assert!(fixture.confirm().await);
    assert_eq!(fixture.record().confirms.iter().filter(|confirm| confirm.fault.is_some()).count(), 0);
    assert_eq!(
        (
            fixture.sim.counts().keys_rotated,
            fixture.sim.faults().times_met(Calls::Confirm, Fault::cut_late(1))
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn a_truncated_answer_breaks_off_in_its_body() {
    let fixture = Fixture::new().await;
    for (fault, confirms) in [(Fault::TRUNCATED_BEFORE, 0), (Fault::TRUNCATED_AFTER, 1)] {
        fixture.sim.faults().next(Calls::Confirm, 1, fault);
        assert!(!fixture.confirm().await, "{fault:?}");
        assert_eq!(fixture.confirms(), confirms, "{fault:?}");
    }
    fixture.sim.faults().next(Calls::Key, 1, Fault::TRUNCATED_AFTER);
    let key = async || reqwest::get(format!("{}/.well-known", fixture.sim.auth_url())).await.unwrap();
    let answer = key().await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.is_err());
    assert!(key().await.text().await.unwrap().ends_with("-----END PUBLIC KEY-----\n"));
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_services_behind_the_gateway() {
    let fixture = Fixture::new().await;
    fixture.sim.faults().latency(Duration::from_secs(1));
    fixture.confirm_and_disconnect().await;
    until("the confirm", || fixture.confirms() == 1).await;
}

#[tokio::test]
async fn a_killed_gateway_breaks_its_connections_and_comes_back_knowing_all_it_knew() {
    let fixture = Fixture::new().await;
    let url = fixture.sim.gateway_url();
    fixture.sim.faults().next(Calls::Confirm, 1, Fault::HANG_AFTER);
    let killed = async {
        until("the confirm", || fixture.confirms() == 1).await;
        fixture.sim.kill(Service::Gateway).await;
    };
    let begun = std::time::Instant::now();
    let (answered, ()) = tokio::join!(fixture.confirm(), killed);
    assert!(!answered && begun.elapsed() < SOON / 2, "its connections outlived it");
    assert!(reqwest::get(format!("{url}/simulated/tally")).await.unwrap_err().is_connect());
    assert!(reqwest::get(format!("{}/.well-known", fixture.sim.auth_url())).await.is_ok());
    fixture.sim.restart(Service::Gateway).await.unwrap();
    fixture.sim.restart(Service::Gateway).await.unwrap();
    assert_eq!(fixture.sim.gateway_url(), url);
    let counts =
        reqwest::get(format!("{url}/simulated/counts")).await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(
        (&counts["calls"]["confirm"], &counts["faults"]["confirm.hang_after"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(fixture.confirms(), 1);
}

#[tokio::test]
async fn a_post_that_a_proxy_repeats_is_one_attempt() {
    let mut fixture = Fixture::new().await;
    let front = fixture.front.join("event-registration").unwrap();
    let repeat = move |headers: HeaderMap, body: axum::body::Bytes| async move {
        let post = async || {
            let call = reqwest::Client::new().post(front.clone()).body(body.clone());
            call.header("authorization", &headers["authorization"]).send().await.unwrap().status().as_u16()
        };
        post().await;
        StatusCode::from_u16(post().await).unwrap()
    };
    let proxy = serve(repeat).await;
    let outcome = fixture.sim.submit(&fixture.declaration, &proxy, SubmitOptions::default()).await.unwrap();
    let (_, first, again) =
        (fixture.received.recv().await, fixture.received.recv().await, fixture.received.recv().await);
    assert_eq!(first.unwrap().1, again.unwrap().1);
    let record = fixture.record();
    assert_eq!((record.attempts.len(), record.attempts[1].result.clone()), (2, Some(outcome.result)));
    assert!(record.attempts[1].is_accepted() && record.attempts[1].answered.is_some());
}

#[tokio::test]
async fn a_caller_without_patience_never_learns_what_became_of_it() {
    let fixture = Fixture::new().await;
    let (_silent, url) = listener().await;
    let hasty = SubmitOptions { timeout: Some(Duration::from_millis(20)), ..SubmitOptions::default() };
    let outcome = fixture.sim.submit(&fixture.declaration, &url, hasty).await.unwrap();
    assert_eq!(outcome.status, Status::Rejected);
    let last = fixture.record().attempts[1].clone();
    assert!(last.is_doubtful() && !last.is_accepted());
    assert!(!fixture.record().attempts[0].is_doubtful());
}

const SEARCH: &str = "query ($count: Int, $skip: Int) { searchEvents(advancedSearchParameters: \
     { registrationStatuses: [\"WAITING_VALIDATION\"] }, count: $count, skip: $skip, sort: \"asc\") \
     { totalItems results { id registration { trackingId } } } }";

async fn listed(sim: &OpencrvsSim, token: &str, page: Value) -> Value {
    let answer = graphql(sim, token, SEARCH, &page).send().await.unwrap().json::<Value>().await.unwrap();
    if answer["errors"].is_null() { answer["data"]["searchEvents"].clone() } else { answer }
}

#[tokio::test]
async fn the_list_of_waiting_records_shows_what_the_scopes_allow_and_the_index_has() {
    let (sim, (front, _received)) = (sim().await, front(202).await);
    let people: Vec<Declaration> = Population::new(3, Mix::default()).take(30).collect();
    for one in &people {
        sim.submit(one, &front, SubmitOptions::default()).await.unwrap();
    }
    sim.set_status(&people[0].record, Status::Archived);
    let waits = |kind| people.iter().skip(1).filter(|one| one.kind == kind).count();
    let total = async |user: &str, scope: &[&str]| {
        let list = listed(&sim, &sim.user_token(user, scope).unwrap(), json!({"count": 100})).await;
        assert_eq!(list["totalItems"], list["results"].as_array().unwrap().len());
        list["results"].as_array().unwrap().len()
    };
    assert_eq!(total("u", &["search.birth", "search.death", "search.marriage"]).await, 29);
    assert_eq!(total("u", &["search.death"]).await, waits(Kind::Death));
    assert_eq!(total("u", &["record.confirm-registration"]).await, 0);
    let registrar = sim.record(&people[1].record).unwrap().registrar;
    let own = total(&registrar, &["search.birth:my-jurisdiction"]).await;
    assert!((1..waits(Kind::Birth)).contains(&own), "{own}");
    assert_eq!(sim.counts().downloaded, 0);
    assert_eq!((total("s", &["recordsearch"]).await, sim.counts().downloaded), (29, 29));
    let user = sim.user_token("u", &["search.birth", "search.death", "search.marriage"]).unwrap();
    let ids = async |page| {
        let list = listed(&sim, &user, page).await;
        list["results"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>()
    };
    let (first, rest) = (ids(json!({})).await, ids(json!({"count": 40, "skip": 10})).await);
    assert_eq!((first.len(), rest.len()), (10, 19));
    assert_eq!(first[0], people[1].record);
    assert!(first.iter().all(|one| !rest.contains(one)));
    let beyond = listed(&sim, &user, json!({"count": 500, "skip": 9_600})).await;
    assert!(beyond["errors"][0]["message"].as_str().unwrap().contains("too large"));
    sim.faults().index_lags(Duration::from_secs(30));
    assert!(ids(json!({})).await.is_empty(), "the index cannot know yet");
    sim.faults().deactivate("u", true);
    assert_eq!(listed(&sim, &user, json!({})).await["errors"][0]["message"], "Authentication failed");
}

#[tokio::test]
async fn a_users_token_is_exchanged_for_record_tokens_and_the_trail_is_kept() {
    let fixture = Fixture::new().await;
    let (sim, record) = (&fixture.sim, fixture.declaration.record.as_str());
    let exchange = async |token: &str| {
        exchange(sim, token, record, &[]).await.1["access_token"].as_str().map(str::to_owned)
    };
    let second = exchange(&exchange(&fixture.token).await.unwrap()).await.unwrap();
    let whose = |token: &str| sim.inspect(|records| records.attempt_of(record, &TokenHash::of(token)));
    assert_eq!((whose(&second), whose("another")), (Some(0), None));
    assert_ne!(second, fixture.token);
    let stale = sim.record_claims(record);
    let stale = sim.mint(&Claims { exp: stale.iat - 1, ..stale }).unwrap();
    sim.rotate_key().unwrap();
    assert_eq!((exchange(&second).await, exchange(&stale).await), (None, None));
    let user = sim.user_token("5f0000000000000000000003", &["record.register"]).unwrap();
    let fresh = exchange(&user).await.unwrap();
    let claims = sim.core.with_key(|key| key.verify(&fresh, "gateway-user")).unwrap();
    assert_eq!(
        (claims.sub.as_str(), claims.record_id.as_deref()),
        ("5f0000000000000000000003", Some(record))
    );
    assert_eq!(claims.exp - claims.iat, 604_800);
    assert_eq!((sim.counts().exchanged, sim.counts().exchange_refused), (3, 2));
    assert_eq!(message(&ask(sim, &second, CONFIRM, record).await), "Unauthorized");
    assert!(ask(sim, &fresh, CONFIRM, record).await.1["errors"].is_null());
}
