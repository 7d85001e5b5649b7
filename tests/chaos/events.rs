//! Records of the events generation: how core treats the front's answers, and which records core
//! would have damaged.
//!
//! Core sends a trigger once. Only a 400 returns the record to the registrar. After any status but
//! 200, 202 and 400 the record stays requested, and a client that retries gets a success. So 400 is
//! the only clean refusal, and every other record must get its answer from the bridge
//! ([`arrivals`](super::arrivals)).

use nidbridge::sandbox::opencrvs::{CallResult, EventFile, Record};

use super::accounts::Accounts;

/// An answer that takes longer than this may come after the acceptance that follows it. It is the
/// publish timeout plus the pause before a confirm, both from [`settings`](super::settings).
const PAUSE_MS: i128 = 1_100;

/// Whether the newest submission was refused, so that the record is back with the registrar.
pub fn came_back(record: &Record) -> bool {
    record.attempts.last().is_some_and(|last| last.result == Some(CallResult::Status(400)))
}

/// Counts the records that core would have damaged.
pub fn judge(accounts: &mut Accounts, id: &str, record: &Record, file: &EventFile) {
    let of = |what: bool| u64::from(what);
    let undefined = of(!file.undefined.is_empty());
    let behind = of(file.stale_index && !is_late(record));
    let broken = undefined + behind + u64::from(file.dropped) + of(file.crossed);
    accounts.totals.broken += broken;
    accounts.late_index += of(file.stale_index && is_late(record));
    if broken > 0 {
        accounts.bad(id, format!("core would have damaged it: {}", describe(file)));
    }
    // Two different answers are possible only if nginx refused a registration that a front had
    // stored.
    let refused = record.attempts.iter().any(|attempt| attempt.result == Some(CallResult::Status(400)));
    if file.contradicted > 0 && !refused {
        accounts.wrong(id, "answered in two ways");
    }
}

/// Whether core got our 202 so late that the acceptance may have come before it: one front was
/// stopped after it had stored the registration and before it answered, and the other front gave
/// the answer.
fn is_late(record: &Record) -> bool {
    let Some(last) = record.attempts.last() else { return false };
    last.answered.is_some_and(|answered| answered.duration_since(last.at).as_millis() >= PAUSE_MS)
}

/// The state of the record in core, in one line.
pub fn describe(file: &EventFile) -> String {
    let EventFile {
        failed,
        retries_without_trigger,
        undefined,
        stale_index,
        repeats,
        dropped,
        contradicted,
        crossed,
        ..
    } = file;
    format!(
        "failed {failed} retries without a trigger {retries_without_trigger} undefined {undefined:?} stale index {stale_index} repeats \
         {repeats} dropped {dropped} contradicted {contradicted} crossed {crossed}"
    )
}
