//! Sends one alert for many records, if a cause would flood the operators. A core whose clock runs
//! ahead, or a wrong number template, concerns thousands of records at once.
//!
//! Invariant: the first alerts of a cause in each hour are raised one by one. The others of that
//! hour are counted in one alert, which is due when the hour ends. The history still has an entry
//! for each record.

use sqlx::{Any, Row as _, Transaction};
use uuid::Uuid;

use crate::domain::{Cause, concerns_one_person};
use crate::ledger::LedgerError;
use crate::ledger::history::NewEntry;

/// Number of alerts of one cause that are raised one by one in an hour.
const ONE_BY_ONE: i64 = 10;
const HOUR_MS: i64 = 3_600_000;

/// Counts the alert instead of raising it, if there are too many of its cause. Returns whether it
/// was counted.
pub(super) async fn count(
    tx: &mut Transaction<'static, Any>,
    entry: &NewEntry<'_>,
    cause: Cause,
) -> Result<bool, LedgerError> {
    if concerns_one_person(cause) {
        return Ok(false);
    }
    let now: i64 = sqlx::query("SELECT now_ms FROM clock").fetch_one(&mut **tx).await?.try_get("now_ms")?;
    let begin = now - now.rem_euclid(HOUR_MS);
    let row = sqlx::query(
        "SELECT COUNT(*) AS alerts FROM alert WHERE cause = $1 AND at >= $2 AND record_id IS NOT NULL",
    )
    .bind(cause.as_str())
    .bind(begin)
    .fetch_one(&mut **tx)
    .await?;
    if row.try_get::<i64, _>("alerts")? < ONE_BY_ONE {
        return Ok(false);
    }
    let end = begin + HOUR_MS;
    let name = format!("alerts|{}|{end}", cause.as_str());
    sqlx::query(
        "INSERT INTO alert (alert_id, messages, cause, state, at, next_at) \
         SELECT $1, 1, $2, a.state, $3, $3 \
         FROM record r JOIN attempt a ON a.attempt_id = COALESCE($4, r.newest_attempt) WHERE r.record_id = $5 \
         ON CONFLICT (alert_id) DO UPDATE SET messages = alert.messages + 1",
    )
    .bind(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string())
    .bind(cause.as_str())
    .bind(end)
    .bind(entry.attempt.map(|id| id.to_string()))
    .bind(entry.record.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(true)
}
