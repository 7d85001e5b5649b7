//! Switches for what the wire facts leave open, and for what differs between deployments. They can
//! be changed while the services run.
//!
//! Wire source: `opencrvs-2.1.md` §8. The default of each switch is the case that the facts
//! consider likely; where they do not say, it is the case that is harder for the bridge.

use std::time::Duration;

/// How a simulated OpenCRVS behaves where releases, deployments or our sources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct EventsBehaviour {
    /// HTTP status for an action token after the upgrade to 2.1: 401 or 403.
    pub stale_token_status: u16,
    /// HTTP status for a token exchange in 2.1. 400 is `unsupported_grant_type`, 404 an absent
    /// route.
    pub exchange_gone_status: u16,
    /// Whether 2.1 takes client credentials from the query string, as in production, where it only
    /// logs an error. Otherwise it answers 400.
    pub takes_query_credentials: bool,
    /// Lifetime of the token of a system client.
    pub client_token_lifetime: Duration,
    /// Whether the rotation of a client's secret also revokes the tokens that the client has.
    pub rotation_kills_tokens: bool,
    /// Whether 2.0 lets a system client answer an action. 2.0.0 does not.
    pub client_confirms_on_2_0: bool,
    /// Whether 2.1 lets a system client reject a record with a reason (`reject.request`).
    pub client_rejects_with_reason: bool,
    /// Whether an accept with a field that no form defines is refused and stores nothing. `None`:
    /// as the release does. 2.1 refuses; 1.9 and 2.0 store the field, which breaks the record.
    pub refuses_undefined_fields: Option<bool>,
    /// Whether the check for an assigned user comes before the checks of the action.
    pub assignment_before_action: bool,
    /// `sub` of the service token on a trigger of 2.1 (`SERVICE_USER_ID` of core).
    pub service_subject: String,
    /// Lifetime of the service token.
    pub service_token_lifetime: Duration,
    /// Whether the service token is for the gateway too. Then it is answered 403 there, otherwise
    /// 401.
    pub service_token_for_gateway: bool,
    /// The share of events of 2.1 to which a user is assigned as soon as core has our 202.
    pub assigned_share: f64,
    /// How long such a user stays assigned.
    pub assigned_for: Duration,
    /// How long a registrar stays assigned to an event after a failed trigger, or after an upgrade
    /// to 2.1. `None`: until somebody unassigns the registrar.
    pub registrar_leaves_after: Option<Duration>,
    /// Whether the search index learns of a request whose trigger failed. Core does not index it
    /// before somebody opens the record.
    pub indexes_failed_triggers: bool,
    /// Whether the gateway answers every call to `/events` with the login page and HTTP 200.
    pub login_page: bool,
    /// Time limit of one call to the front's `/trigger/system/ready`.
    pub ready_timeout: Duration,
    /// The first pause between two such calls. It doubles up to 30 seconds.
    pub ready_backoff: Duration,
    /// The number of such calls before core gives up.
    pub ready_attempts: u32,
}

impl Default for EventsBehaviour {
    fn default() -> Self {
        Self {
            stale_token_status: 401,
            exchange_gone_status: 400,
            takes_query_credentials: false,
            client_token_lifetime: Duration::from_secs(600),
            rotation_kills_tokens: false,
            client_confirms_on_2_0: false,
            client_rejects_with_reason: false,
            refuses_undefined_fields: None,
            assignment_before_action: true,
            service_subject: "__SERVICE_USER__".to_owned(),
            service_token_lifetime: Duration::from_secs(600),
            service_token_for_gateway: false,
            assigned_share: 0.0,
            assigned_for: Duration::from_secs(30),
            registrar_leaves_after: None,
            indexes_failed_triggers: false,
            login_page: false,
            ready_timeout: Duration::from_secs(5),
            ready_backoff: Duration::from_secs(1),
            ready_attempts: 10,
        }
    }
}
