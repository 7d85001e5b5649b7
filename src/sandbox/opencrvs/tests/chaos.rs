//! The faults of a chaos run, one by one, on the simulated OpenCRVS.

use super::*;

const PATIENT: Duration = Duration::from_secs(20);

/// Waits for a condition that must soon hold.
async fn until(what: &str, mut there: impl FnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        while !there() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENT, waiting).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}

/// A record that waits for an answer, and a front to which it can be submitted again.
struct Ground {
    sim: OpencrvsSim,
    front: Url,
    told: mpsc::UnboundedReceiver<(HeaderMap, Value)>,
    declaration: Declaration,
    token: String,
}

impl Ground {
    async fn new() -> Self {
        let (sim, (front, told), declaration) = (sim().await, front(202).await, birth());
        // The token is older than any that auth may issue for the record within the same second.
        let claims = sim.record_claims(&declaration.record);
        let token = sim.mint(&Claims { iat: claims.iat - 60, ..claims }).unwrap();
        let ground = Self { sim, front, told, declaration, token };
        let with = SubmitOptions { token: Some(ground.token.clone()), ..SubmitOptions::default() };
        ground.sim.submit(&ground.declaration, &ground.front, with).await.unwrap();
        ground
    }

    fn record(&self) -> Record {
        self.sim.record(&self.declaration.record).unwrap()
    }

    fn confirms(&self) -> usize {
        self.record().confirms.len()
    }

    /// Confirms, and disconnects as soon as the gateway has received the call.
    async fn confirm_in_haste(&self) {
        let calls = || self.sim.faults().calls().get("confirm").copied().unwrap_or_default();
        let before = calls();
        tokio::select! {
            _ = self.confirm() => panic!("the gateway was faster"),
            () = until("the call", || calls() > before) => {}
        }
    }

    /// Confirms; returns whether a complete answer came.
    async fn confirm(&self) -> bool {
        let details = json!({"registrationNumber": "2026B1"});
        let body =
            json!({"query": CONFIRM, "variables": {"id": self.declaration.record, "details": details}});
        let call = reqwest::Client::new().post(format!("{}/graphql", self.sim.gateway_url()));
        match call.bearer_auth(&self.token).json(&body).timeout(PATIENT).send().await {
            Ok(answer) => answer.bytes().await.is_ok(),
            Err(_) => false,
        }
    }
}

#[tokio::test]
async fn a_late_confirm_comes_into_force_over_whatever_is_there_by_then() {
    let ground = Ground::new().await;
    let faults = ground.sim.faults();
    faults.next(Calls::Confirm, 1, Fault::hang_late(2_500));
    faults.next(Calls::Confirm, 1, Fault::cut_late(0));
    ground.confirm_in_haste().await;
    assert_eq!(ground.confirms(), 0);
    let corrected = SubmitOptions { corrected: Some("Corrected".to_owned()), ..SubmitOptions::default() };
    let second = ground.sim.submit(&ground.declaration, &ground.front, corrected).await.unwrap();
    until("the late confirm", || ground.confirms() == 1).await;
    let (record, late) = (ground.record(), ground.record().confirms[0].clone());
    assert_eq!((late.status_before, late.since, late.attempt), (Status::WaitingValidation, second.stamp, 1));
    assert_eq!((late.fault, record.status()), (Some(Fault::hang_late(2_500)), Status::Registered));
    assert_eq!(record.attempts[1].corrected.as_deref(), Some("Corrected"));
    let whose = ground.sim.inspect(|records| records.attempt_of(&ground.declaration.record, &late.token));
    assert_eq!(whose, Some(0), "it came with the token of the older attempt");
    assert!(!ground.confirm().await);
    until("the second late confirm", || ground.confirms() == 2).await;
    assert_eq!(
        (ground.record().confirms[1].status_before, ground.record().numbers.len()),
        (Status::Registered, 2)
    );
    assert_eq!(ground.sim.counts().confirmed_unseen, 2);
}

#[tokio::test]
async fn a_late_confirm_that_may_not_be_never_comes() {
    let mut ground = Ground::new().await;
    ground.sim.rotate_key().unwrap();
    ground.sim.faults().next(Calls::Confirm, 1, Fault::cut_late(0));
    assert!(!ground.confirm().await);
    ground.token = ground.sim.mint(&ground.sim.record_claims(&ground.declaration.record)).unwrap();
    assert!(ground.confirm().await);
    assert_eq!(ground.record().confirms.iter().filter(|confirm| confirm.fault.is_some()).count(), 0);
    assert_eq!(
        (ground.sim.counts().keys_rotated, ground.sim.faults().times_met(Calls::Confirm, Fault::cut_late(1))),
        (1, 1)
    );
}

#[tokio::test]
async fn a_truncated_answer_breaks_off_in_its_body() {
    let ground = Ground::new().await;
    for (fault, confirms) in [(Fault::TRUNCATED_BEFORE, 0), (Fault::TRUNCATED_AFTER, 1)] {
        ground.sim.faults().next(Calls::Confirm, 1, fault);
        assert!(!ground.confirm().await, "{fault:?}");
        assert_eq!(ground.confirms(), confirms, "{fault:?}");
    }
    ground.sim.faults().next(Calls::Key, 1, Fault::TRUNCATED_AFTER);
    let key = async || reqwest::get(format!("{}/.well-known", ground.sim.auth_url())).await.unwrap();
    let answer = key().await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.is_err());
    assert!(key().await.text().await.unwrap().ends_with("-----END PUBLIC KEY-----\n"));
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_services_behind_the_gateway() {
    let ground = Ground::new().await;
    ground.sim.faults().latency(Duration::from_secs(1));
    ground.confirm_in_haste().await;
    until("the confirm", || ground.confirms() == 1).await;
}

#[tokio::test]
async fn a_killed_gateway_breaks_its_connections_and_comes_back_knowing_all_it_knew() {
    let ground = Ground::new().await;
    let url = ground.sim.gateway_url();
    ground.sim.faults().next(Calls::Confirm, 1, Fault::HANG_AFTER);
    let killed = async {
        until("the confirm", || ground.confirms() == 1).await;
        ground.sim.kill(Service::Gateway).await;
    };
    let begun = std::time::Instant::now();
    let (told, ()) = tokio::join!(ground.confirm(), killed);
    assert!(!told && begun.elapsed() < PATIENT / 2, "its connections outlived it");
    assert!(reqwest::get(format!("{url}/simulated/tally")).await.unwrap_err().is_connect());
    assert!(reqwest::get(format!("{}/.well-known", ground.sim.auth_url())).await.is_ok());
    ground.sim.restart(Service::Gateway).await.unwrap();
    ground.sim.restart(Service::Gateway).await.unwrap();
    assert_eq!(ground.sim.gateway_url(), url);
    let counts =
        reqwest::get(format!("{url}/simulated/counts")).await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(
        (&counts["calls"]["confirm"], &counts["faults"]["confirm.hang_after"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(ground.confirms(), 1);
}

#[tokio::test]
async fn a_post_that_a_proxy_repeats_is_one_attempt() {
    let mut ground = Ground::new().await;
    let front = ground.front.join("event-registration").unwrap();
    let repeat = move |headers: HeaderMap, body: axum::body::Bytes| async move {
        let post = async || {
            let call = reqwest::Client::new().post(front.clone()).body(body.clone());
            call.header("authorization", &headers["authorization"]).send().await.unwrap().status().as_u16()
        };
        post().await;
        StatusCode::from_u16(post().await).unwrap()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/event-registration", post(repeat))).await
    }));
    let outcome = ground.sim.submit(&ground.declaration, &proxy, SubmitOptions::default()).await.unwrap();
    let (_, first, again) = (ground.told.recv().await, ground.told.recv().await, ground.told.recv().await);
    assert_eq!(first.unwrap().1, again.unwrap().1);
    let record = ground.record();
    assert_eq!((record.attempts.len(), record.attempts[1].result.clone()), (2, Some(outcome.result)));
    assert!(record.attempts[1].is_accepted() && record.attempts[1].answered.is_some());
}

#[tokio::test]
async fn a_caller_without_patience_never_learns_what_became_of_it() {
    let ground = Ground::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", silent.local_addr().unwrap())).unwrap();
    let hasty = SubmitOptions { timeout: Some(Duration::from_millis(20)), ..SubmitOptions::default() };
    let outcome = ground.sim.submit(&ground.declaration, &url, hasty).await.unwrap();
    assert_eq!(outcome.status, Status::Rejected);
    let last = ground.record().attempts[1].clone();
    assert!(last.is_doubtful() && !last.is_accepted());
    assert!(!ground.record().attempts[0].is_doubtful());
}

const SEARCH: &str = "query ($count: Int, $skip: Int) { searchEvents(advancedSearchParameters: \
     { registrationStatuses: [\"WAITING_VALIDATION\"] }, count: $count, skip: $skip, sort: \"asc\") \
     { totalItems results { id registration { trackingId } } } }";

async fn listed(sim: &OpencrvsSim, token: &str, page: Value) -> Value {
    let call = reqwest::Client::new().post(format!("{}/graphql", sim.gateway_url())).bearer_auth(token);
    let answer = call.json(&json!({"query": SEARCH, "variables": page})).send().await.unwrap();
    let answer = answer.json::<Value>().await.unwrap();
    if answer["errors"].is_null() { answer["data"]["searchEvents"].clone() } else { answer }
}

#[tokio::test]
async fn the_list_of_waiting_records_shows_what_the_scopes_allow_and_the_index_has() {
    let (sim, (front, _told)) = (sim().await, front(202).await);
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
    let ground = Ground::new().await;
    let (sim, record) = (&ground.sim, ground.declaration.record.as_str());
    let exchange = async |token: &str| {
        let mut url = Url::parse(&format!("{}/token", sim.auth_url())).unwrap();
        url.query_pairs_mut()
            .append_pair("grant_type", "urn:opencrvs:oauth:grant-type:token-exchange")
            .append_pair("subject_token", token)
            .append_pair("subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
            .append_pair("requested_token_type", "urn:opencrvs:oauth:token-type:single_record_token")
            .append_pair("record_id", record);
        let answer = reqwest::Client::new().post(url).send().await.unwrap().json::<Value>().await.unwrap();
        answer["access_token"].as_str().map(str::to_owned)
    };
    let second = exchange(&exchange(&ground.token).await.unwrap()).await.unwrap();
    let whose = |token: &str| sim.inspect(|records| records.attempt_of(record, &TokenHash::of(token)));
    assert_eq!((whose(&second), whose("another")), (Some(0), None));
    assert_ne!(second, ground.token);
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
