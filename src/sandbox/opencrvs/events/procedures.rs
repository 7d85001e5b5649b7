//! The gateway's `/events/…`: tRPC with superjson, limited to the procedures that answer an action,
//! and the queries that read (`queries`).

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::actions::IDENTIFIER;
use super::answers::{answer, error, row_error};
use super::confirm::{ActionCall, ConfirmRules, Refused};
use super::credential::{Caller, Credential, admit};
use super::queries;
use super::release::Release;
use super::scopes::Grant;
use crate::sandbox::opencrvs::auth;
use crate::sandbox::opencrvs::call::Call;
use crate::sandbox::opencrvs::calls::Calls;
use crate::sandbox::opencrvs::connection::ConnectionBreaker;
use crate::sandbox::opencrvs::core::Core;
use crate::sandbox::opencrvs::fault::Fault;
use crate::sandbox::opencrvs::records::Confirmation;

const ACCEPT: &str = "event.actions.register.accept";
const REJECT: &str = "event.actions.register.reject";

/// The routes that the gateway proxies: to the events service, and to auth.
pub(in crate::sandbox::opencrvs) fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/events/event.get", get(queries::read))
        .route("/events/event.search", get(queries::search))
        .route("/events/{procedure}", post(call))
        .layer(middleware::from_fn_with_state(Arc::clone(&core), login_page))
        .route("/auth/token", post(auth::token))
        .with_state(core)
}

async fn login_page(State(core): State<Arc<Core>>, request: Request, next: Next) -> Response {
    if core.events.behaviour().login_page {
        return Html("<!doctype html><html><title>Login to OpenCRVS</title></html>").into_response();
    }
    next.run(request).await
}

async fn call(
    State(core): State<Arc<Core>>,
    ConnectInfo(connection): ConnectInfo<ConnectionBreaker>,
    Path(procedure): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let input = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let record = input.pointer("/json/eventId").and_then(Value::as_str).unwrap_or_default().to_owned();
    let call = Call { core: Arc::clone(&core), calls: Some(Calls::Action), record, connection: &connection };
    let called = Called { core, procedure, headers };
    call.perform(move |fault| move || called.run(&input, fault), row_error).await
}

struct Called {
    core: Arc<Core>,
    procedure: String,
    headers: HeaderMap,
}

impl Called {
    fn run(&self, input: &Value, fault: Option<Fault>) -> Response {
        let caller = match admit(&self.core, &self.headers, "gateway-user", &self.procedure) {
            Ok(caller) => caller,
            Err(why) => return answer(Err(why), &self.procedure),
        };
        let json =
            |value: &str| value.split(';').next().is_some_and(|kind| kind.trim() == "application/json");
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(json) {
            let refused = "Unsupported content-type";
            return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, refused, &self.procedure);
        }
        answer(self.dispatch(input, &caller, fault), &self.procedure)
    }

    fn dispatch(&self, input: &Value, caller: &Caller, fault: Option<Fault>) -> Result<Value, Refused> {
        let none = Map::new();
        let envelope = input.get("json").and_then(Value::as_object);
        let is_action = [ACCEPT, REJECT].contains(&self.procedure.as_str());
        // 2.1 refuses a caller before it parses the input; 1.9 and 2.0 parse first.
        let release = self.release(envelope.unwrap_or(&none));
        let authorizes_first = is_action && !release.has_action_tokens();
        if envelope.is_none() && !authorizes_first {
            return Err(Refused::required(""));
        }
        let input = envelope.unwrap_or(&none);
        match self.procedure.as_str() {
            ACCEPT | REJECT if authorizes_first => {
                self.authorize_client(input, caller)?;
                self.complete(input)?;
                self.confirm(input, caller, fault)
            }
            ACCEPT | REJECT => {
                self.complete(input)?;
                self.authorize_before_2_1(input, caller)?;
                self.confirm(input, caller, fault)
            }
            "event.actions.reject.request" => self.explain(input, caller),
            _ => Err(Refused::new(StatusCode::NOT_FOUND, "No procedure found on path")),
        }
    }

    /// The release of the event that the call is about.
    fn release(&self, input: &Map<String, Value>) -> Release {
        self.core.release_of(text(input, "eventId").unwrap_or_default())
    }

    fn accepts(&self) -> bool {
        self.procedure == ACCEPT
    }

    fn complete(&self, input: &Map<String, Value>) -> Result<(), Refused> {
        let mut needed = vec!["eventId", "actionId", "transactionId"];
        needed.extend(self.accepts().then_some("registrationNumber"));
        match needed.into_iter().find(|name| text(input, name).is_none()) {
            Some(missing) => Err(Refused::required(missing)),
            None => Ok(()),
        }
    }

    /// The holder of the action's own token, or a system client where 2.0 allows it.
    fn authorize_before_2_1(&self, input: &Map<String, Value>, caller: &Caller) -> Result<(), Refused> {
        let scopes = &caller.claims.scope;
        let behaviour = self.core.events.behaviour();
        let may_clients = self.release(input) == Release::V2_0 && behaviour.client_confirms_on_2_0;
        if caller.credential == Credential::Client && may_clients {
            return self.authorize_client(input, caller);
        }
        let confirms = ["record.confirm-registration", "record.reject-registration"];
        if confirms.iter().any(|scope| Grant::of(scopes, scope).is_none()) {
            let missing = "Missing required scopes/claims for action confirmation";
            return Err(Refused::new(StatusCode::FORBIDDEN, missing));
        }
        let claims = &caller.claims;
        let ids = (claims.event_id.as_deref(), claims.action_id.as_deref());
        let is_of_this = ids == (text(input, "eventId"), text(input, "actionId")) && ids.0.is_some();
        if is_of_this { Ok(()) } else { Err(Refused::FORBIDDEN) }
    }

    /// A system client with the scope for this kind of event.
    fn authorize_client(&self, input: &Map<String, Value>, caller: &Caller) -> Result<(), Refused> {
        if caller.credential != Credential::Client {
            return Err(Refused::FORBIDDEN);
        }
        let scope = if self.accepts() { "record.action.accept" } else { "record.action.reject" };
        let grant = Grant::of(&caller.claims.scope, scope).ok_or(Refused::FORBIDDEN)?;
        let (Some(event), Some(_)) = (text(input, "eventId"), text(input, "actionId")) else {
            return Err(Refused::new(StatusCode::BAD_REQUEST, "BAD_REQUEST"));
        };
        queries::kind_in_scope(&self.core, event, &grant)
    }

    fn confirm(
        &self,
        input: &Map<String, Value>,
        caller: &Caller,
        fault: Option<Fault>,
    ) -> Result<Value, Refused> {
        let call = action_call(input, caller, fault);
        let rules = self.rules(caller, self.release(input));
        let now = Timestamp::now();
        self.core.with_records(|records| {
            if self.accepts() {
                records.accept(&call, &rules, now)
            } else {
                records.reject(&call, &rules, now)
            }
        })
    }

    fn rules(&self, caller: &Caller, release: Release) -> ConfirmRules {
        let is_strict = !release.has_action_tokens();
        let behaviour = self.core.events.behaviour();
        ConfirmRules {
            client: (caller.credential == Credential::Client).then(|| caller.claims.sub.clone()),
            is_strict,
            assignment_before_action: behaviour.assignment_before_action,
            defined: self.core.defined(),
            refuses_undefined_fields: behaviour.refuses_undefined_fields.unwrap_or(is_strict),
        }
    }

    fn explain(&self, input: &Map<String, Value>, caller: &Caller) -> Result<Value, Refused> {
        let reason = input.get("content").and_then(|content| content.get("reason")).and_then(Value::as_str);
        let (Some(id), Some(reason)) = (text(input, "eventId"), reason) else {
            return Err(Refused::required("content"));
        };
        if caller.credential == Credential::Client && !self.core.events.behaviour().client_rejects_with_reason
        {
            return Err(Refused::FORBIDDEN);
        }
        let scopes = ["record.reject", "record.declared.reject"];
        let grant = scopes.iter().find_map(|scope| Grant::of(&caller.claims.scope, scope));
        queries::kind_in_scope(&self.core, id, &grant.ok_or(Refused::FORBIDDEN)?)?;
        let user = (caller.credential != Credential::Client).then_some(caller.claims.sub.as_str());
        self.core.with_records(|records| records.explain(id, reason, user, Timestamp::now()))
    }
}

fn action_call(input: &Map<String, Value>, caller: &Caller, fault: Option<Fault>) -> ActionCall {
    let text = |name| text(input, name).unwrap_or_default().to_owned();
    let declaration = input.get("declaration").and_then(Value::as_object).cloned().unwrap_or_default();
    let id = declaration.get(IDENTIFIER).and_then(Value::as_str).map(str::to_owned);
    ActionCall {
        event: text("eventId"),
        action: text("actionId"),
        transaction: text("transactionId"),
        keeps_assignment: input.get("keepAssignment").and_then(Value::as_bool).unwrap_or_default(),
        confirmation: Confirmation {
            number: text("registrationNumber"),
            identifiers: id.map(|id| ("NATIONAL_ID".to_owned(), id)).into_iter().collect(),
            comment: None,
            token: caller.token.clone(),
            fault,
        },
        declaration,
    }
}

fn text<'i>(input: &'i Map<String, Value>, name: &str) -> Option<&'i str> {
    input.get(name).and_then(Value::as_str)
}
