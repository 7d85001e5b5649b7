//! Records of the events generation: how core reads the front's answers, and which records it would
//! have damaged.
//!
//! Core asks once. Exactly 400 brings a record back; after anything else but 200 and 202 it stays
//! requested, and whoever asks again is told that all is well. So there is one clean way to say no,
//! and everything else must be answered.

use nidbridge::sandbox::opencrvs::{EventFile, Record, Status, Wire};

use super::accounts::Accounts;

/// Longer than this after its call, an answer may come after the acceptance that follows it: the
/// publish timeout and the pause before a confirm of [`settings`](super::settings).
const PAUSE_MS: i128 = 1_100;

/// Whether the newest submission was refused, so that the record is back with the registrar.
pub fn came_back(record: &Record) -> bool {
    record.attempts.last().is_some_and(|last| last.wire == Some(Wire::Status(400)))
}

/// Counts the records that core would have damaged.
pub fn judge(accounts: &mut Accounts, id: &str, record: &Record, file: &EventFile) {
    let of = |what: bool| u64::from(what);
    let undefined = of(!file.undefined.is_empty());
    let behind = of(file.stale_index && !is_late(record));
    let broken = undefined + behind + u64::from(file.dropped) + of(file.crossed);
    accounts.broken += broken;
    accounts.late_index += of(file.stale_index && is_late(record));
    if broken > 0 {
        accounts.bad.insert(id.to_owned(), format!("core would have it damaged: {}", told(file)));
    }
    // An answer after the other one can only be that after a refusal by nginx of what a front has
    // stored.
    let refused = record.attempts.iter().any(|attempt| attempt.wire == Some(Wire::Status(400)));
    if file.contradicted > 0 && !refused {
        accounts.wrong(id, "answered in two ways");
    }
}

/// Whether core got our 202 so late that the acceptance may well have come before it: a front that
/// had stored the registration was stopped before it could say so, and the other one said it.
fn is_late(record: &Record) -> bool {
    let Some(last) = record.attempts.last() else { return false };
    last.answered.is_some_and(|answered| answered.duration_since(last.at).as_millis() >= PAUSE_MS)
}

/// What core knows of the record, in one line.
pub fn told(file: &EventFile) -> String {
    let EventFile {
        failed,
        hollow_retries,
        undefined,
        stale_index,
        repeats,
        dropped,
        contradicted,
        crossed,
        ..
    } = file;
    format!(
        "failed {failed} hollow retries {hollow_retries} undefined {undefined:?} stale index {stale_index} repeats \
         {repeats} dropped {dropped} contradicted {contradicted} crossed {crossed}"
    )
}

/// Whether the record is requested for ever.
pub fn stranded(record: &Record) -> bool {
    let waits = record.status() == Status::WaitingValidation;
    waits && record.event.as_ref().is_some_and(|file| file.failed)
}
