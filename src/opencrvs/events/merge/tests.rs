use serde_json::json;

use super::*;

fn action(status: &str, kind: &str, at: &str, more: &Value) -> Action {
    let mut action =
        json!({ "status": status, "type": kind, "createdAt": format!("2026-01-01T00:00:{at}.000Z") });
    action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(action).unwrap()
}

fn accepted(kind: &str, at: &str, declaration: &Value) -> Action {
    action("Accepted", kind, at, &json!({ "declaration": declaration }))
}

/// The declaration of a record with these actions and a pending one that declares nothing.
fn merged(actions: &[Action]) -> Value {
    declaration(actions, &Action::default()).into()
}

/// A request, and its acceptance, with these declarations.
fn answered(request: &Value, own: &Value) -> [Action; 2] {
    [
        action("Requested", "EDIT", "02", &json!({ "id": "r", "declaration": request })),
        action("Accepted", "EDIT", "03", &json!({ "id": "a", "originalActionId": "r", "declaration": own })),
    ]
}

#[test]
fn a_null_that_is_followed_by_an_object_has_erased_what_was_there() {
    let base =
        accepted("DECLARE", "01", &json!({ "child.name": { "firstname": "Old", "middlename": "Left" } }));
    let name = |surname: &str| json!({ "child.name": { "surname": surname } });
    let [request, acceptance] = answered(&json!({ "child.name": null }), &name("New"));
    assert_eq!(merged(&[base, request, acceptance]), name("New"));
    let base =
        accepted("DECLARE", "01", &json!({ "mother.address": { "country": "FAR", "town": { "x": "1" } } }));
    let inner = json!({ "mother.address": { "town": null } });
    let [request, acceptance] = answered(&inner, &json!({ "mother.address": { "town": { "y": "2" } } }));
    let expected = json!({ "mother.address": { "country": "FAR", "town": { "y": "2" } } });
    assert_eq!(merged(&[base, request, acceptance]), expected);
}

#[test]
fn an_object_without_a_null_before_it_adds_to_what_was_there() {
    let base = accepted("DECLARE", "01", &json!({ "child.name": { "firstname": "Ada" } }));
    let [request, acceptance] = answered(
        &json!({ "child.name": { "middlename": "B" } }),
        &json!({ "child.name": { "surname": "Doe" } }),
    );
    let whole = json!({ "child.name": { "firstname": "Ada", "middlename": "B", "surname": "Doe" } });
    assert_eq!(merged(&[base, request, acceptance]), whole);
}

#[test]
fn the_acceptance_counts_at_its_own_time_and_not_at_that_of_its_request() {
    let between = accepted("EDIT", "02", &json!({ "child.dob": "2026-02-02" }));
    let [mut request, acceptance] = answered(&json!({ "child.dob": "2026-01-01" }), &json!({}));
    request.created_at = Some("2025-01-01T00:00:00.000Z".to_owned());
    assert_eq!(merged(&[request, acceptance, between]), json!({ "child.dob": "2026-01-01" }));
}

#[test]
fn actions_of_the_same_time_keep_their_order() {
    let [one, other] = ["1", "2"].map(|nid| accepted("EDIT", "02", &json!({ "mother.nid": nid })));
    assert_eq!(merged(&[one, other]), json!({ "mother.nid": "2" }));
}

#[test]
fn a_rejected_correction_a_requested_one_and_a_printed_certificate_do_not_count() {
    let base = || accepted("DECLARE", "01", &json!({ "child.dob": "2026-01-01" }));
    for kind in ["REJECT_CORRECTION", "REQUEST_CORRECTION", "PRINT_CERTIFICATE"] {
        let other = accepted(kind, "02", &json!({ "child.dob": "2026-02-02" }));
        assert_eq!(merged(&[base(), other]), json!({ "child.dob": "2026-01-01" }), "{kind}");
    }
    for status in ["Requested", "Rejected"] {
        let other = action(status, "EDIT", "02", &json!({ "declaration": { "child.dob": "2026-02-02" } }));
        assert_eq!(merged(&[base(), other]), json!({ "child.dob": "2026-01-01" }), "{status}");
    }
}

#[test]
fn the_approval_of_a_correction_that_is_not_there_changes_nothing() {
    let base = accepted("DECLARE", "01", &json!({ "child.dob": "2026-01-01" }));
    let own = json!({ "child.dob": "2026-03-03" });
    let request = || {
        action(
            "Accepted",
            "REQUEST_CORRECTION",
            "02",
            &json!({ "id": "c", "declaration": { "mother.nid": "1" } }),
        )
    };
    let approval = |of: &str| {
        action("Accepted", "APPROVE_CORRECTION", "03", &json!({ "requestId": of, "declaration": own }))
    };
    let base = [base, request()];
    let with = |approval: Action| {
        let [declared, asked] = [0, 1].map(|at| &base[at]);
        let copy = |one: &Action| Action {
            id: one.id.clone(),
            kind: one.kind.clone(),
            status: one.status.clone(),
            created_at: one.created_at.clone(),
            declaration: one.declaration.clone(),
            ..Action::default()
        };
        merged(&[copy(declared), copy(asked), approval])
    };
    assert_eq!(with(approval("nothing")), json!({ "child.dob": "2026-01-01" }));
    assert_eq!(with(approval("c")), json!({ "child.dob": "2026-03-03", "mother.nid": "1" }));
}

#[test]
fn a_list_replaces_and_stays_a_list() {
    let list = |items: Value| accepted("EDIT", "02", &json!({ "documents": items }));
    assert_eq!(merged(&[list(json!([1, 2])), list(json!([3]))]), json!({ "documents": [3] }));
    assert_eq!(merged(&[list(json!([1, 2])), list(json!({ "a": 1 }))]), json!({ "documents": [1, 2] }));
    assert_eq!(merged(&[list(json!({ "a": 1 })), list(json!([3]))]), json!({ "documents": [3] }));
}
