use super::*;

const SEARCH: &str = "type=record.search&event=birth";
const READ: &str = "type=record.read&event=birth";

fn query(clause: Value) -> Value {
    json!({ "query": { "type": "and", "clauses": vec![clause] } })
}

fn requested() -> Value {
    query(json!({ "flags": { "anyOf": ["register:requested"] } }))
}

fn total(answer: &(u16, Value)) -> u64 {
    assert_eq!(answer.0, 200, "{}", answer.1);
    answer.1["result"]["data"]["json"]["total"].as_u64().unwrap()
}

#[tokio::test]
async fn a_client_finds_the_pending_events_of_its_kinds() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let bridge = fixture.client(&[SEARCH]).await;
    let found = bridge.query("event.search", requested()).await;
    assert_eq!(total(&found), 1);
    let event = &found.1["result"]["data"]["json"]["results"][0];
    assert_eq!((&event["id"], &event["status"]), (&json!(fixture.family.record), &json!("DECLARED")));
    assert_eq!(event["assignedTo"], Value::Null);
    let deaths = fixture.client(&["type=record.search&event=death"]).await;
    assert_eq!(total(&deaths.query("event.search", requested()).await), 0);
    assert_eq!(fixture.client(&[READ]).await.query("event.search", requested()).await.0, 403);
    for wrong in [
        query(json!({ "unrelated": "x" })),
        query(json!({})),
        json!({}),
        query(json!({ "updatedAt": { "type": "exact", "term": "2026-01-01T00:00:00Z" } })),
    ] {
        assert_eq!(bridge.query("event.search", wrong.clone()).await.0, 400, "{wrong}");
    }
    let day = query(
        json!({ "eventType": "birth", "updatedAt": { "type": "range", "gte": "2020-01-01", "lte": "2020-01-02" } }),
    );
    assert_eq!(total(&bridge.query("event.search", day).await), 0);
    let accepting = fixture.client(&["type=record.action.accept&event=birth"]).await;
    assert_eq!(accepting.accept(NUMBER, json!({})).await, 200);
    assert_eq!(total(&bridge.query("event.search", requested()).await), 0);
    let registered = query(json!({ "status": { "type": "anyOf", "terms": ["REGISTERED"] } }));
    assert_eq!(total(&bridge.query("event.search", registered).await), 1);
}

#[tokio::test]
async fn a_request_whose_trigger_failed_is_indexed_when_somebody_reads_it() {
    let fixture = Fixture::on(Release::V2_1, (503, "")).await;
    let bridge = fixture.client(&[SEARCH, READ]).await;
    assert!(fixture.sim.pending_actions()[0].trigger_failed);
    assert_eq!(total(&bridge.query("event.search", requested()).await), 0);
    let declared = query(json!({ "status": { "type": "exact", "term": "DECLARED" } }));
    assert_eq!(total(&bridge.query("event.search", declared).await), 1);
    let event = bridge.query("event.get", json!({ "eventId": fixture.family.record })).await;
    let actions = event.1["result"]["data"]["json"]["actions"].as_array().unwrap().clone();
    assert!(actions.iter().any(|row| row["id"] == fixture.action && row["status"] == "Requested"));
    assert_eq!(actions.last().unwrap()["type"], "READ");
    assert_eq!(total(&bridge.query("event.search", requested()).await), 1);
}

#[tokio::test]
async fn the_index_may_lag() {
    let fixture = Fixture::on(Release::V2_1, LATER).await;
    let bridge = fixture.client(&[SEARCH]).await;
    fixture.sim.faults().index_lags(Duration::from_secs(60));
    assert_eq!(total(&bridge.query("event.search", requested()).await), 0);
}
