//! The bridge answers with its own client where OpenCRVS accepts that, and otherwise with the token
//! that came with the registration. The tests check what the simulated OpenCRVS received.

mod answered;
mod secrets;
mod upgrade;

use std::path::PathBuf;
use std::time::Duration;

use nidbridge::domain::Cause;
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{
    Calls, Credential, Fault, OpencrvsSettings, Release, Status, SubmitOptions,
};
use nidbridge::sandbox::population::{Declaration, Kind};

use crate::alerts::hook::{Hook, Manner};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![
    on_2_1_the_client_accepts_and_rejects_with_one_access_token,
    while_a_user_is_assigned_the_answer_waits_and_operators_see_who_it_is,
    what_the_client_may_not_do_raises_one_alert_that_names_the_scope,
];

const ACCEPT: &str = "event.actions.register.accept";
const REJECT: &str = "event.actions.register.reject";
const ALARMS: &str = "nidbridge_alarms_total";

/// The scopes of the client, for these kinds of event.
fn scopes(kinds: &str) -> [String; 3] {
    ["record.action.accept", "record.action.reject", "record.read"]
        .map(|scope| format!("type={scope}&event={kinds}"))
}

/// The bridge with a client in OpenCRVS, and a webhook for its alerts.
struct Fixture {
    world: World,
    hook: Hook,
    client: String,
    /// The file of the client's secret.
    secret: PathBuf,
}

impl Fixture {
    /// Starts both sides; the client has these scopes.
    async fn new(engine: Engine, release: Release, scopes: &[String]) -> Self {
        let mut fixture = Self::prepared(engine, release, scopes).await;
        fixture.start().await;
        fixture
    }

    /// The same without any role running.
    async fn prepared(engine: Engine, release: Release, scopes: &[String]) -> Self {
        let opencrvs = OpencrvsSettings { release, ..OpencrvsSettings::default() };
        Self::beside(opencrvs, engine, scopes).await
    }

    async fn beside(opencrvs: OpencrvsSettings, engine: Engine, scopes: &[String]) -> Self {
        let mut world = World::of(opencrvs, engine, &[]).await;
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let credentials = world.opencrvs.add_client("NID Bridge", &scopes);
        let secret = world.dir.join("client-secret");
        std::fs::write(&secret, format!("{}\n", credentials.client_secret)).unwrap();
        let (port, spool) = (free_port(), world.dir.join("spool"));
        let hook = Hook::listening(port, Manner::Takes).await;
        std::fs::create_dir_all(&spool).unwrap();
        for (name, value) in [
            ("FRONT_EVENTS", "true".to_owned()),
            ("FRONT_SPOOL", spool.display().to_string()),
            ("OPENCRVS_CLIENT_ID", credentials.client_id.clone()),
            ("OPENCRVS_CLIENT_SECRET_FILE", secret.display().to_string()),
            ("OPENCRVS_SERVICE_USER", world.opencrvs.service_subject()),
            ("TOKEN_INTERVAL", "300ms".to_owned()),
            ("ALERT_WEBHOOK", format!("http://127.0.0.1:{port}/alerts")),
            ("ALERT_INTERVAL", "200ms".to_owned()),
        ] {
            world.set(name, &value);
        }
        Self { world, hook, client: credentials.client_id, secret }
    }

    async fn start(&mut self) {
        for role in ["front", "worker", "confirmer"] {
            self.world.start(role);
        }
        for role in ["front", "worker", "confirmer"] {
            self.world.ready(role).await;
        }
    }

    async fn submit(&self, family: &Declaration) {
        let options = SubmitOptions::default();
        let submitted = self.world.opencrvs.submit_event(family, &self.world.front, options).await.unwrap();
        assert!(submitted.result.is_success(), "{:?}", submitted.result);
    }

    async fn is_confirmed(&self, family: &Declaration) {
        ends_as(&self.world, &family.record, Status::Registered).await;
        stands_as(&self.world, &family.record, "confirmed").await;
        let record = self.world.opencrvs.record(&family.record).unwrap();
        assert_eq!((record.confirms.len(), record.numbers.len()), (1, 1));
    }

    fn calls(&self, procedure: &str, credential: Credential) -> u64 {
        self.world.opencrvs.calls_of(procedure, credential)
    }

    /// The alerts so far: the cause and the scope of each.
    fn alerts(&self) -> Vec<(String, Option<String>)> {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let calls = self.hook.calls();
        calls.iter().map(|call| (text(&call.json()["cause"]).unwrap(), text(&call.json()["scope"]))).collect()
    }

    /// Waits for the first alert with this cause. Fails if it is not the only alert.
    async fn alert(&self, cause: Cause) -> Option<String> {
        let what = format!("an alert {}", cause.as_str());
        let alerts =
            eventually(SOON, &what, async || (!self.alerts().is_empty()).then(|| self.alerts())).await;
        assert_eq!(alerts[0].0, cause.as_str(), "{alerts:?}");
        assert_eq!(alerts.len(), 1, "{alerts:?}");
        alerts[0].1.clone()
    }

    /// Waits until several tries have failed for this cause.
    async fn keeps_waiting(&self, cause: Cause) {
        let line = format!("\"{}\"", cause.as_str());
        eventually(SOON, &format!("{} delays", cause.as_str()), async || {
            let delays = self.world.metric("confirmer", "nidbridge_retries_total", &line);
            (delays >= 1.0).then_some(())
        })
        .await;
    }

    async fn all_are(&self, families: &[Declaration], state: &str) {
        for family in families {
            stands_as(&self.world, &family.record, state).await;
        }
    }

    fn is_undamaged(&self) {
        let tally = self.world.opencrvs.events_tally();
        assert!(tally.is_undamaged(), "{tally:?}");
        assert_eq!(self.world.opencrvs.token_requests().in_query, 0);
    }
}

async fn on_2_1_the_client_accepts_and_rejects_with_one_access_token(engine: Engine) {
    let fixture = Fixture::new(engine, Release::V2_1, &scopes("birth,death")).await;
    let families = people(Kind::Birth, 4, 401);
    let refused = &families[0];
    let request = request_of(&refused.record, "birth");
    fixture.world.nid.will_answer(&request, Final::Rejected("not_eligible"));
    for family in &families {
        fixture.submit(family).await;
    }
    ends_as(&fixture.world, &refused.record, Status::Rejected).await;
    stands_as(&fixture.world, &refused.record, "rejected").await;
    for family in &families[1..] {
        fixture.is_confirmed(family).await;
    }
    assert_eq!(fixture.calls(REJECT, Credential::Client), 1);
    // One more call was the probe.
    assert_eq!(fixture.calls(ACCEPT, Credential::Client), 4);
    assert_eq!(fixture.calls(ACCEPT, Credential::ActionToken), 0);
    assert_eq!(fixture.world.opencrvs.token_requests().given, 1, "one access token serves all");
    assert_eq!(fixture.alerts(), []);
    fixture.is_undamaged();
}

async fn while_a_user_is_assigned_the_answer_waits_and_operators_see_who_it_is(engine: Engine) {
    let fixture = Fixture::new(engine, Release::V2_1, &scopes("birth,death")).await;
    let family = people(Kind::Birth, 1, 402).remove(0);
    fixture.world.nid.pause_replies();
    fixture.submit(&family).await;
    assert!(fixture.world.opencrvs.assign(&family.record, "5fabc0ffee"));
    fixture.world.nid.resume_replies();
    let conflicts = || fixture.world.opencrvs.record(&family.record).unwrap().event.unwrap().conflicts;
    eventually(SOON, "several conflicts", async || (conflicts() >= 4).then_some(())).await;
    stands_as(&fixture.world, &family.record, "answered").await;
    let (code, shown) = fixture.world.run(&["attempts", "show", &family.record], &[]).await;
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.matches("assigned to user 5fabc0ffee").count(), 1, "{shown}");
    assert!(fixture.world.opencrvs.assign(&family.record, "5fdecade"));
    let seen = conflicts();
    eventually(SOON, "another conflict", async || (conflicts() > seen + 1).then_some(())).await;
    let history = fixture.world.history(&family.record).await;
    let of_assignees = history.iter().filter(|entry| entry.what == "assigned");
    let users: Vec<_> = of_assignees.filter_map(|entry| entry.why.as_deref()).collect();
    assert_eq!(users, ["assigned to user 5fabc0ffee", "assigned to user 5fdecade"]);
    assert!(fixture.world.opencrvs.unassign(&family.record));
    fixture.is_confirmed(&family).await;
    assert_eq!(fixture.alerts(), []);
    fixture.is_undamaged();
}

async fn what_the_client_may_not_do_raises_one_alert_that_names_the_scope(engine: Engine) {
    let fixture = Fixture::new(engine, Release::V2_1, &scopes("birth")).await;
    let [births, deaths] = [Kind::Birth, Kind::Death].map(|kind| people(kind, 3, kind as u64 + 430));
    for family in births.iter().chain(&deaths) {
        fixture.submit(family).await;
    }
    for family in &births {
        fixture.is_confirmed(family).await;
    }
    let scope = fixture.alert(Cause::ClientScope).await;
    assert_eq!(scope.as_deref(), Some("type=record.action.accept&event=death"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fixture.alerts().len(), 1, "one alert for all records");
    fixture.all_are(&deaths, "answered").await;
    let added = scopes("birth,death");
    let added: Vec<&str> = added.iter().map(String::as_str).collect();
    assert!(fixture.world.opencrvs.set_client_scopes(&fixture.client, &added));
    for family in &deaths {
        fixture.is_confirmed(family).await;
    }
    assert_eq!(fixture.alerts().len(), 1);
    fixture.is_undamaged();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_while_the_client_has_no_scope() {
    let fixture = Fixture::new(Engine::Sqlite, Release::V2_1, &[]).await;
    let family = people(Kind::Birth, 1, 404).remove(0);
    fixture.submit(&family).await;
    let scope = fixture.alert(Cause::ClientScope).await;
    assert_eq!(scope.as_deref(), Some("type=record.action.accept&event=birth"));
    let added = scopes("birth");
    let added: Vec<&str> = added.iter().map(String::as_str).collect();
    assert!(fixture.world.opencrvs.set_client_scopes(&fixture.client, &added));
    fixture.is_confirmed(&family).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_call_of_the_client_it_registers_once() {
    let fixture = Fixture::new(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    let faults = [
        Fault::CUT_AFTER,
        Fault::CUT_BEFORE,
        Fault::http_after(503),
        Fault::TRUNCATED_AFTER,
        Fault::FAILS_AFTER,
        Fault::NOT_JSON,
        Fault::cut_late(300),
    ];
    for (family, fault) in people(Kind::Birth, faults.len(), 405).into_iter().zip(faults) {
        fixture.world.opencrvs.faults().next(Calls::Action, 1, fault);
        fixture.submit(&family).await;
        fixture.is_confirmed(&family).await;
    }
    fixture.is_undamaged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_shows_the_login_page_is_waited_for() {
    let fixture = Fixture::new(Engine::Sqlite, Release::V2_1, &scopes("birth,death")).await;
    let family = people(Kind::Birth, 1, 406).remove(0);
    fixture.world.opencrvs.behave(|behaviour| behaviour.login_page = true);
    fixture.submit(&family).await;
    fixture.keeps_waiting(Cause::GatewayUnavailable).await;
    stands_as(&fixture.world, &family.record, "answered").await;
    fixture.world.opencrvs.behave(|behaviour| behaviour.login_page = false);
    fixture.is_confirmed(&family).await;
    assert_eq!(fixture.alerts(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_client_may_answer_the_token_does_and_nobody_is_alerted() {
    for release in [Release::V1_9, Release::V2_0] {
        let fixture = Fixture::new(Engine::Sqlite, release, &scopes("birth,death")).await;
        for family in people(Kind::Birth, 3, 407) {
            fixture.submit(&family).await;
            fixture.is_confirmed(&family).await;
        }
        assert_eq!(fixture.calls(ACCEPT, Credential::ActionToken), 3, "{release:?}");
        assert_eq!(fixture.alerts(), [], "{release:?}");
        fixture.is_undamaged();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_2_0_that_lets_the_client_answer_it_goes_first_and_the_token_when_a_user_is_assigned() {
    let fixture = Fixture::prepared(Engine::Sqlite, Release::V2_0, &scopes("birth,death")).await;
    fixture.world.opencrvs.behave(|behaviour| behaviour.client_confirms_on_2_0 = true);
    let mut fixture = fixture;
    fixture.start().await;
    let probed = async || (fixture.calls(ACCEPT, Credential::Client) > 0).then_some(());
    eventually(SOON, "the probe", probed).await;
    let families = people(Kind::Birth, 3, 408);
    for family in &families {
        fixture.submit(family).await;
        fixture.is_confirmed(family).await;
    }
    assert!(fixture.calls(ACCEPT, Credential::Client) > 3);
    fixture.is_undamaged();
}
