use serde_json::json;

use super::*;

fn document(actions: &[(&str, &str, &str)]) -> EventDocument<'static> {
    let actions: Vec<Value> = actions
        .iter()
        .map(|(id, status, kind)| json!({ "id": id, "status": status, "type": kind, "createdAt": "2026-01-01T00:00:00.000Z" }))
        .collect();
    let text = json!({ "id": "e", "actions": actions }).to_string();
    EventDocument::read(text.leak().as_bytes()).unwrap()
}

impl Action<'static> {
    /// An action for tests. Its text stays in memory.
    pub(in crate::opencrvs::events) fn of(action: &Value) -> Self {
        let raw = serde_json::from_str(action.to_string().leak()).unwrap();
        Self::read(raw, &mut Budget::of(0)).unwrap()
    }
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

#[test]
fn a_document_has_at_most_as_many_actions_as_its_budget_holds() {
    let read = |count: usize| {
        let body = format!(r#"{{"actions":[{}{{}}]}}"#, "{},".repeat(count - 1));
        EventDocument::read(body.as_bytes()).map(|event| event.actions.len())
    };
    let most = Budget::of(0).left() / (2 * size_of::<Action<'_>>());
    assert_eq!(read(most), Ok(most));
    assert_eq!(read(most + 1), Err(Unbuilt::TooCostly));
}

#[test]
fn a_text_with_escapes_is_read_too_and_other_values_count_as_absent() {
    let body = br#"{"id":"\u0065","type":5,"trackingId":null,"actions":[{"id":"a\n","status":{}}]}"#;
    let event = EventDocument::read(body).unwrap();
    assert_eq!((event.id.as_deref(), &event.kind, &event.tracking_id), (Some("e"), &None, &None));
    let action = &event.actions[0];
    assert_eq!((action.id.as_deref(), &action.status), (Some("a\n"), &None));
    assert_eq!(action.declaration(), Ok(Map::new()));
    for body in [
        &br#"{"id":"e"}"#[..],
        br#"{"actions":{}}"#,
        br#"{"actions":[1]}"#,
        br#"{"actions":[{"id":"\ud800"}]}"#,
    ] {
        assert_eq!(EventDocument::read(body).err(), Some(Unbuilt::NotJson));
    }
}
