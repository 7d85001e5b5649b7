//! The country's configuration service, reduced to what the bridge reads: the fields of the forms.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::sandbox::opencrvs::core::Core;

pub(in crate::sandbox::opencrvs) fn router(core: Arc<Core>) -> Router {
    Router::new().route("/events", get(events)).with_state(core)
}

async fn events(State(core): State<Arc<Core>>) -> Json<Value> {
    let of = |kind: &str| {
        let prefix = match kind {
            "birth" => "child.",
            "death" => "deceased.",
            _ => "bride.",
        };
        let fields: Vec<Value> = core
            .defined()
            .iter()
            .filter(|field| field.starts_with(prefix))
            .map(|field| json!({ "id": field, "type": "TEXT", "label": { "defaultMessage": "" } }))
            .collect();
        json!({ "id": kind, "declaration": { "pages": [
            { "id": "subject", "type": "FORM", "fields": [{ "id": format!("{prefix}name"), "type": "NAME" }] },
            { "id": "more", "type": "FORM", "fields": fields },
        ]}})
    };
    Json(["birth", "death", "marriage"].into_iter().map(of).collect())
}
