//! The rights of the client, and the request that registers it.
//!
//! Invariant: a report contains the client's id and no secret. The request names the secret by a
//! variable of the shell.

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::config::OpencrvsConfig;
use crate::domain::EventKind;
use crate::opencrvs::{AccessToken, ClientFault, Right, scope_of};
use crate::operate::output;
use crate::roles::Failure;

/// Placeholder in the body of the request. [`request`] replaces it with the shell's variable.
const SECRET: &str = "CLIENT_SECRET";

#[derive(Debug, Serialize)]
pub(super) struct ClientReport {
    client_id: String,
    client_name: String,
    /// Whether OpenCRVS returned an access token.
    token: bool,
    /// Why it returned none.
    fault: Option<String>,
    expires_at: Option<Timestamp>,
    rights: Vec<KindRights>,
    /// The scopes to add.
    lacking: Vec<String>,
    /// The request that registers the client, if OpenCRVS refuses it or it lacks a scope.
    request: Option<String>,
}

/// What the client may do with the events of a kind.
#[derive(Debug, Serialize)]
struct KindRights {
    event: String,
    accept: bool,
    reject: bool,
    read: bool,
    search: bool,
}

impl KindRights {
    fn of(token: &AccessToken, kind: &EventKind) -> Self {
        let may = |right| token.may(right, kind);
        Self {
            event: kind.as_str().to_owned(),
            accept: may(Right::Accept),
            reject: may(Right::Reject),
            read: may(Right::Read),
            search: may(Right::Search),
        }
    }

    fn row(&self) -> Vec<String> {
        let words = |may: bool| if may { "yes" } else { "lacking" }.to_owned();
        vec![self.event.clone(), words(self.accept), words(self.reject), words(self.read), words(self.search)]
    }
}

impl ClientReport {
    pub(super) fn new(settings: &OpencrvsConfig, token: &Result<AccessToken, ClientFault>) -> Self {
        let kinds = &settings.client_kinds;
        let granted = token.as_ref().ok();
        let lacking = granted.map(|token| lacking(token, kinds)).unwrap_or_default();
        let refused = token.as_ref().is_err_and(|fault| fault.is_refusal());
        Self {
            client_id: settings.client_id.clone().unwrap_or_default(),
            client_name: settings.client_name.clone(),
            token: token.is_ok(),
            fault: token.as_ref().err().map(ToString::to_string),
            expires_at: granted.map(AccessToken::expires_at),
            rights: granted
                .map(|token| kinds.iter().map(|kind| KindRights::of(token, kind)).collect())
                .unwrap_or_default(),
            request: (refused || !lacking.is_empty()).then(|| request(settings)),
            lacking,
        }
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        output::line(&format!("client: {} ({})", self.client_id, output::clean(&self.client_name)))?;
        match (self.expires_at, &self.fault) {
            (Some(until), _) => {
                output::line(&format!("access token: valid for {}", output::span(Timestamp::now(), until)))?;
                output::line("")?;
                let rows: Vec<_> = self.rights.iter().map(KindRights::row).collect();
                output::table(&["EVENT", "ACCEPT", "REJECT", "READ", "SEARCH"], &rows)?;
            }
            (None, fault) => {
                output::line(&format!("access token: none: {}", output::or_dash(fault.as_deref())))?;
            }
        }
        if !self.lacking.is_empty() {
            output::line("\nscopes to add:")?;
        }
        for scope in &self.lacking {
            output::line(&format!("  {scope}"))?;
        }
        match &self.request {
            Some(request) => output::line(&format!("\n{INSTRUCTIONS}\n\n{request}")),
            None => Ok(()),
        }
    }

    pub(super) fn verdict(&self, token: &Result<AccessToken, ClientFault>) -> Result<(), Failure> {
        match token {
            Ok(_) if self.lacking.is_empty() => Ok(()),
            Ok(_) => Err(Failure::Differs(anyhow!("the client lacks {} scopes", self.lacking.len()))),
            Err(fault) if fault.is_refusal() => Err(Failure::Failed((*fault).into())),
            Err(fault) => Err(Failure::Unavailable((*fault).into())),
        }
    }
}

const INSTRUCTIONS: &str = "\
With OPENCRVS_REGISTER_CLIENT=true the front registers the client when OpenCRVS's events service starts. Otherwise run the \
following in the network of OpenCRVS (the token is valid for 60 s). A client that exists already is not changed: delete it in \
OpenCRVS (Integrations) first.";

/// One scope for each right that the client lacks, with the kinds of event for which it lacks it.
fn lacking(token: &AccessToken, kinds: &[EventKind]) -> Vec<String> {
    let scope = |right: Right| {
        let without: Vec<EventKind> = kinds.iter().filter(|kind| !token.may(right, kind)).cloned().collect();
        (!without.is_empty()).then(|| scope_of(right, &without))
    };
    Right::ALL.into_iter().filter_map(scope).collect()
}

fn request(settings: &OpencrvsConfig) -> String {
    let body = json!({
        "name": settings.client_name,
        "scopes": Right::ALL.map(|right| scope_of(right, &settings.client_kinds)),
        "credentials": { "clientId": settings.client_id, "clientSecret": SECRET },
    });
    // The quotes are closed around the variable, so that the shell replaces it.
    let body = body.to_string().replace('\'', r"'\''");
    let body = body.replace(&format!("\"{SECRET}\""), &format!("\"'\"${{{SECRET}:?}}\"'\""));
    let url = |base: &url::Url, path: &str| format!("{}/{path}", base.as_str().trim_end_matches('/'));
    format!(
        "CLIENT_SECRET=${{OPENCRVS_CLIENT_SECRET:-$(cat \"$OPENCRVS_CLIENT_SECRET_FILE\")}}\n\
         TOKEN=$(curl -sS -X POST {auth} | sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')\n\
         curl -sS -X POST {events} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\\n  -d '{body}'",
        auth = url(&settings.auth_url, "internal/integration-creator-token"),
        events = url(&settings.events_url, "integrations"),
    )
}
