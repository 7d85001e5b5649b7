//! How the bridge came to know of each requested registration of the events generation. Each action
//! is judged by itself: a record may have several.
//!
//! Core sends a trigger once. If the trigger reaches no front, or fronts that die with it, the
//! action stays requested, and the bridge has to find it in OpenCRVS with its own client. Without a
//! client it cannot, so such an action is excused there; but only if nginx was down, or answered
//! 202 by itself, and no front accepted the registration.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use nidbridge::domain::{AttemptKey, Dialect, RecordId};
use nidbridge::sandbox::opencrvs::{ActionRequest, ActionState, CallResult, EventFile, Record};
use sqlx::{Connection as _, Row as _};
use tokio::time::timeout;

use super::accounts::{Accounts, Evidence};
use super::rig::Rig;
use super::roles::FRONT;

/// Attempts of the ledger by their ids, each with whether the search brought it.
pub type Attempts = HashMap<String, bool>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Its trigger brought it.
    Triggered,
    /// The bridge found it in OpenCRVS.
    Found,
    /// Its trigger was refused, and the registrar knows.
    Refused,
    /// It waits, and its trigger reached no front.
    Unheard,
    /// It waits, its trigger may have reached a front, and the ledger does not have it.
    Stranded,
}

/// Reads the attempts from the ledger. `None` if the ledger does not answer.
pub async fn attempts(rig: &Rig) -> Option<Attempts> {
    const QUERY: &str = "SELECT a.attempt_id, EXISTS (SELECT 1 FROM history h WHERE h.record_id = a.record_id \
                         AND h.attempt_id = a.attempt_id AND h.what = 'unheard') FROM attempt a";
    let reading = async {
        let mut connection = sqlx::PgConnection::connect(&rig.ledger_url).await.ok()?;
        let rows = sqlx::query(QUERY).fetch_all(&mut connection).await.ok()?;
        rows.iter().map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?))).collect()
    };
    timeout(Duration::from_secs(5), reading).await.ok()?
}

/// The id of the attempt that answers an action.
fn attempt_of(id: &str, action: &str) -> Option<String> {
    let record = RecordId::parse(id).ok()?;
    let stamp = Timestamp::UNIX_EPOCH;
    let key = AttemptKey { dialect: Dialect::Events, record, mark: action.to_owned(), stamp };
    Some(key.id().to_string())
}

fn arrival(id: &str, record: &Record, request: &ActionRequest, evidence: &Evidence<'_>) -> Arrival {
    let attempt = attempt_of(id, &request.action);
    match attempt.and_then(|attempt| evidence.attempts.get(&attempt)) {
        Some(false) => return Arrival::Triggered,
        Some(true) => return Arrival::Found,
        None => {}
    }
    let state = record.event.as_ref().and_then(|file| file.state_of(&request.action));
    if state != Some(ActionState::Pending) {
        return Arrival::Refused;
    }
    let reached_nobody = record.attempts.get(request.attempt).is_some_and(|attempt| {
        evidence.rig.disturbances.broke_off(attempt) || attempt.result == Some(CallResult::Status(202))
    });
    if reached_nobody { Arrival::Unheard } else { Arrival::Stranded }
}

/// Counts the actions of a record. Returns whether the record waits because of one of them.
pub fn judge(
    accounts: &mut Accounts,
    id: &str,
    record: &Record,
    file: &EventFile,
    evidence: &Evidence<'_>,
) -> bool {
    let mut waits = false;
    for request in &file.requests {
        let action = &request.action;
        match arrival(id, record, request, evidence) {
            Arrival::Triggered | Arrival::Refused => {}
            Arrival::Found => accounts.found += 1,
            Arrival::Unheard => {
                waits = true;
                accounts.unheard += 1;
                accounts.unheard_of.push((id.to_owned(), action.clone()));
                if evidence.rig.client.is_some() {
                    accounts.bad(id, format!("action {action} was not found"));
                }
            }
            Arrival::Stranded => {
                waits = true;
                accounts.totals.stranded += 1;
                accounts.bad(id, format!("action {action} waits for ever; the ledger does not have it"));
            }
        }
    }
    waits
}

/// Checks that no front accepted an action that, according to the accounts, reached no front.
pub fn check_unheard(rig: &Rig, accounts: &mut Accounts) {
    for (id, action) in accounts.unheard_of.clone() {
        let attempt = attempt_of(&id, &action).expect("a record id");
        let accepted = format!("\"record.id\":\"{id}\",\"attempt.id\":\"{attempt}\"");
        if rig.logged(FRONT, &accepted) > 0 {
            accounts.wrong(&id, "a front has taken it, and the ledger does not know it");
        }
    }
}
