//! The country's configuration service, reduced to what the bridge or core reads: the fields of the
//! forms, and empty answers for the rest of the configuration.
//!
//! Wire source: `opencrvs-2.1.md` §5. 2.0 moved every path under `/config`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::release::Release;
use crate::sandbox::opencrvs::core::Core;

pub(in crate::sandbox::opencrvs) fn router(core: Arc<Core>) -> Router {
    Router::new().fallback(answer).with_state(core)
}

async fn answer(State(core): State<Arc<Core>>, request: Request) -> Response {
    let path = request.uri().path();
    let name = match core.events.release() {
        Release::V1_9 => match path {
            "/events" => "events",
            "/workqueue" => "workqueues",
            "/application-config" => "application",
            "/locations" => "locations",
            "/roles" => "roles",
            "/users" => "users",
            _ => "",
        },
        Release::V2_0 | Release::V2_1 => path.strip_prefix("/config/").unwrap_or_default(),
    };
    match name {
        _ if request.method() != Method::GET => StatusCode::NOT_FOUND.into_response(),
        "events" => Json(events(&core)).into_response(),
        "workqueues" | "locations" | "roles" | "users" => Json(json!([])).into_response(),
        "application" => Json(json!({ "APPLICATION_NAME": "Simulated country" })).into_response(),
        _ => {
            let body = json!({ "statusCode": 404, "error": "Not Found", "message": "Not Found" });
            (StatusCode::NOT_FOUND, Json(body)).into_response()
        }
    }
}

/// The fields that every form of farajaland has, as far as they name persons and dates
/// (`opencrvs-events.md` §5).
fn usual(kind: &str) -> &'static [(&'static str, &'static str)] {
    match kind {
        "birth" => &[
            ("child.name", "NAME"),
            ("child.gender", "SELECT"),
            ("child.dob", "DATE"),
            ("child.placeOfBirth", "SELECT"),
            ("mother.name", "NAME"),
            ("mother.dob", "DATE"),
            ("mother.idType", "SELECT"),
            ("mother.nid", "ID"),
            ("father.name", "NAME"),
            ("father.dob", "DATE"),
            ("father.idType", "SELECT"),
            ("father.nid", "ID"),
            ("informant.relation", "SELECT"),
        ],
        "death" => &[
            ("deceased.name", "NAME"),
            ("deceased.gender", "SELECT"),
            ("deceased.dob", "DATE"),
            ("deceased.idType", "SELECT"),
            ("deceased.nid", "ID"),
            ("eventDetails.date", "DATE"),
            ("eventDetails.placeOfDeath", "SELECT"),
            ("informant.relation", "SELECT"),
        ],
        _ => &[("bride.name", "NAME"), ("groom.name", "NAME"), ("eventDetails.date", "DATE")],
    }
}

fn date_of(kind: &str) -> Option<&'static str> {
    match kind {
        "birth" => Some("child.dob"),
        "death" | "marriage" => Some("eventDetails.date"),
        _ => None,
    }
}

fn events(core: &Core) -> Value {
    let of = |kind: &str| {
        let prefix = match kind {
            "birth" => "child.",
            "death" => "deceased.",
            _ => "bride.",
        };
        let field =
            |id: &str, kind: &str| json!({ "id": id, "type": kind, "label": { "defaultMessage": "" } });
        let usual: Vec<Value> = usual(kind).iter().map(|(id, kind)| field(id, kind)).collect();
        let defined = core.defined();
        let of_subject = defined.iter().filter(|name| name.starts_with(prefix));
        let more: Vec<Value> = of_subject.map(|name| field(name, "TEXT")).collect();
        let mut event = json!({ "id": kind, "declaration": { "pages": [
            { "id": "subject", "type": "FORM", "fields": usual },
            { "id": "more", "type": "FORM", "fields": more },
        ]}});
        if let Some(date) = date_of(kind)
            && let Some(event) = event.as_object_mut()
        {
            event.insert("dateOfEvent".to_owned(), json!({ "$$field": date }));
        }
        event
    };
    ["birth", "death", "marriage"].into_iter().map(of).collect()
}
