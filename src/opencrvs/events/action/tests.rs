use serde_json::json;

use super::*;

fn document(actions: &[(&str, &str, &str)]) -> EventDocument {
    let actions: Vec<Value> = actions
        .iter()
        .map(|(id, status, kind)| json!({ "id": id, "status": status, "type": kind, "createdAt": "2026-01-01T00:00:00.000Z" }))
        .collect();
    serde_json::from_value(json!({ "id": "e", "actions": actions })).unwrap()
}

#[test]
fn only_a_requested_action_is_pending() {
    for status in ["Accepted", "Rejected", "Draft", ""] {
        let event = document(&[("a", status, "REGISTER")]);
        assert!(event.pending("a").is_none(), "{status}");
        assert!(event.pending("other").is_none(), "{status}");
        assert!(event.last_open(|_| true).is_none(), "{status}");
    }
    let event = document(&[("a", "Accepted", "REGISTER"), ("b", "Requested", "REGISTER")]);
    for named in ["a", "b", "other"] {
        let pending = event.pending(named).and_then(|action| action.id.as_deref());
        assert_eq!(pending, Some("b"), "the only one that waits, whatever the token names: {named}");
    }
    assert_eq!(event.last_open(|_| true).map(|(_, id)| id.to_string()).as_deref(), Some("b"));
}
