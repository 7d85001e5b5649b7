use serde_json::json;

use super::*;

fn action(status: &str, kind: &str, at: &str, more: &Value) -> Action<'static> {
    let mut action =
        json!({ "status": status, "type": kind, "createdAt": format!("2026-01-01T00:00:{at}.000Z") });
    action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Action::of(&action)
}

fn accepted(kind: &str, at: &str, declaration: &Value) -> Action<'static> {
    action("Accepted", kind, at, &json!({ "declaration": declaration }))
}

/// The declaration of a record with these actions and a pending one that declares nothing.
fn merged(actions: &[Action<'_>]) -> Value {
    declaration(actions, &Action::default()).unwrap().into()
}

/// A request, and its acceptance, with these declarations.
fn answered(request: &Value, own: &Value) -> [Action<'static>; 2] {
    [
        action("Requested", "EDIT", "02", &json!({ "id": "r", "declaration": request })),
        action("Accepted", "EDIT", "03", &json!({ "id": "a", "originalActionId": "r", "declaration": own })),
    ]
}

#[test]
fn a_null_in_a_request_erases_the_earlier_value_even_if_an_object_follows() {
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
fn an_object_is_merged_into_the_earlier_one() {
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
    request.created_at = Some("2025-01-01T00:00:00.000Z".into());
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
    let with = |approval: Action<'static>| {
        let [declared, asked] = [0, 1].map(|at| &base[at]);
        let copy = |one: &Action<'static>| Action {
            id: one.id.clone(),
            kind: one.kind.clone(),
            status: one.status.clone(),
            created_at: one.created_at.clone(),
            declaration: one.declaration,
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

/// A name, the declarations of two actions, and the merged declaration. Each line follows from the
/// rules of core: objects are merged member by member, any other value replaces, null erases.
const HISTORIES: &str = r#"
another field     ; {"a":"1"} ; {"b":"2"} ; {"a":"1","b":"2"}
the same text     ; {"a":"1"} ; {"a":"1"} ; {"a":"1"}
another text      ; {"a":"1"} ; {"a":"2"} ; {"a":"2"}
an empty text     ; {"a":"1"} ; {"a":""} ; {"a":""}
false             ; {"a":true} ; {"a":false} ; {"a":false}
zero              ; {"a":7} ; {"a":0} ; {"a":0}
null              ; {"a":"1","b":"2"} ; {"a":null} ; {"b":"2"}
a value, at last  ; {"a":null} ; {"a":"1"} ; {"a":"1"}
null again        ; {"a":null} ; {"a":null} ; {}
nothing           ; {"a":"1"} ; {} ; {"a":"1"}
one part          ; {"n":{"f":"Ada","s":"Doe"}} ; {"n":{"f":"Eve"}} ; {"n":{"f":"Eve","s":"Doe"}}
no part           ; {"n":{"f":"Ada","s":"Doe"}} ; {"n":{"f":null}} ; {"n":{"s":"Doe"}}
no parts          ; {"n":{"f":"Ada","s":"Doe"}} ; {"n":{"f":null,"s":null}} ; {"n":{}}
an empty object   ; {"n":{"f":"Ada","s":"Doe"}} ; {"n":{}} ; {"n":{"f":"Ada","s":"Doe"}}
null for all      ; {"n":{"f":"Ada","s":"Doe"}} ; {"n":null} ; {}
a text for all    ; {"n":{"f":"Ada"}} ; {"n":"Ada"} ; {"n":"Ada"}
an object instead ; {"n":"Ada"} ; {"n":{"f":"Ada"}} ; {"n":{"f":"Ada"}}
a list instead    ; {"a":{"b":1}} ; {"a":[1]} ; {"a":[1]}
a shorter list    ; {"a":[1,2,3]} ; {"a":[4]} ; {"a":[4]}
an empty list     ; {"a":[1]} ; {"a":[]} ; {"a":[]}
objects in a list ; {"a":[{"b":1}]} ; {"a":[{"c":2}]} ; {"a":[{"c":2}]}
deep              ; {"a":{"b":{"c":1,"d":2}}} ; {"a":{"b":{"d":null,"e":3}}} ; {"a":{"b":{"c":1,"e":3}}}
a dot in an id    ; {"a.b":"1"} ; {"a":{"b":"2"}} ; {"a.b":"1","a":{"b":"2"}}
"#;

#[test]
fn twenty_histories_of_a_record_are_merged_as_core_merges_them() {
    for line in HISTORIES.trim().lines() {
        let columns: Vec<&str> = line.split(" ; ").collect();
        let [what, first, second, merged_as] = columns.as_slice() else { panic!("{line}") };
        let [first, second, merged_as]: [Value; 3] =
            [first, second, merged_as].map(|json| serde_json::from_str(json).unwrap());
        let edit = |at: &str, declaration: &Value| accepted("EDIT", at, declaration);
        assert_eq!(merged(&[edit("01", &first), edit("02", &second)]), merged_as, "{what}");
        // The list may be in another order than the times.
        assert_eq!(merged(&[edit("02", &second), edit("01", &first)]), merged_as, "{what}, swapped");
        // The pending registration comes last, whatever its time is.
        let pending = action("Requested", "REGISTER", "00", &json!({ "declaration": second }));
        let with_pending: Value = declaration(&[edit("01", &first)], &pending).unwrap().into();
        assert_eq!(with_pending, merged_as, "{what}, while registering");
    }
}

#[test]
fn what_is_merged_is_bounded_by_what_is_there_at_last() {
    let wide = |name: &str| {
        let fields = (0..200).map(|n| (format!("{name}{n}"), json!({ "firstname": "Ada" })));
        Value::Object(fields.collect())
    };
    // The same fields again and again.
    let edits: Vec<Action<'_>> = (10..40).map(|at| accepted("EDIT", &at.to_string(), &wide("a"))).collect();
    assert_eq!(merged(&edits), wide("a"));
    // Other fields each time.
    let edits: Vec<Action<'_>> =
        (10..40).map(|at| accepted("EDIT", &at.to_string(), &wide(&format!("f{at}-")))).collect();
    assert_eq!(declaration(&edits, &Action::default()), Err(Unbuilt::TooCostly));
    // One declaration alone.
    let dense = json!({ "a": vec![json!({ "": 0 }); 1_000] });
    assert_eq!(
        declaration(&[accepted("DECLARE", "01", &dense)], &Action::default()),
        Err(Unbuilt::TooCostly)
    );
}
