//! `nidbridge attempts show`.

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;

use super::ShowArgs;
use crate::domain::{AnswerKind, Cause, OperatorDecision, Reason, RecordId};
use crate::ledger::{Case, HistoryEntry, Recorded};
use crate::operate::output;
use crate::operate::session::Session;
use crate::roles::Failure;

pub(super) async fn run(session: &mut Session, args: &ShowArgs) -> Result<(), Failure> {
    let ledger = session.ledger("attempts").await?;
    let records = ledger.find_records(&args.name).await?;
    if records.is_empty() {
        return Err(Failure::Failed(anyhow!(
            "the ledger has no record, request, attempt, tracking id or registration number {}: it was never accepted here, or is not recorded yet",
            output::clean(&args.name)
        )));
    }
    let now = ledger.now().await?;
    let mut shown = Vec::new();
    for record in &records {
        let attempts = ledger.attempts_of(record).await?;
        let history = ledger.history(record).await?;
        shown.extend(ShownRecord::of(record, &attempts, history, now));
    }
    if args.json {
        return output::json(&shown);
    }
    shown.iter().try_for_each(|record| record.print(now))
}

#[derive(Serialize)]
struct ShownRecord {
    record: String,
    tracking_id: String,
    kind: String,
    office: Option<String>,
    /// Whether a registration number is allocated.
    numbered: bool,
    /// The final answer of the ID system.
    known: Option<&'static str>,
    /// Start of a write to OpenCRVS whose result is not known.
    writing_since: Option<Timestamp>,
    attempts: Vec<ShownAttempt>,
    history: Vec<ShownEntry>,
    /// Cause of the newest attempt, if this release knows it. Its advice is printed.
    #[serde(skip)]
    newest_cause: Option<Cause>,
}

#[derive(Serialize)]
struct ShownAttempt {
    attempt: String,
    submission: u32,
    state: &'static str,
    cause: Option<String>,
    /// The failed tries since the attempt last moved, if there were several in a row.
    failing: Option<ShownFailing>,
    /// The last decision of an operator.
    decision: Option<&'static str>,
    answer: Option<&'static str>,
    /// Why the ID system rejected the attempt: a code, and names of fields in the contract. The
    /// free text of the ID system is not kept.
    reason: Option<Reason>,
    accepted_at: Timestamp,
    /// `None` without a token.
    token_expires_at: Option<Timestamp>,
    token_hours_left: Option<f64>,
}

#[derive(Serialize)]
struct ShownFailing {
    cause: String,
    count: u64,
    since: Timestamp,
    next_try_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct ShownEntry {
    at: Timestamp,
    attempt: Option<String>,
    stage: String,
    what: String,
    cause: Option<String>,
    who: String,
    why: Option<String>,
}

impl ShownRecord {
    /// Returns `None` for a record without attempts.
    fn of(record: &RecordId, attempts: &[Case], history: Vec<HistoryEntry>, now: Timestamp) -> Option<Self> {
        let newest = attempts.last()?;
        let row = &newest.record;
        Some(Self {
            record: record.to_string(),
            tracking_id: row.tracking_id.to_string(),
            kind: row.kind.as_str().to_owned(),
            office: row.office.clone(),
            numbered: row.number.is_some(),
            known: row.answer.map(|answer| answer.kind().as_str()),
            writing_since: row.intent.map(|intent| intent.at),
            attempts: attempts.iter().map(|case| ShownAttempt::of(case, now)).collect(),
            history: history.into_iter().map(ShownEntry::of).collect(),
            newest_cause: newest
                .attempt
                .cause
                .as_ref()
                .or(newest.attempt.failing.as_ref().map(|failing| &failing.cause))
                .and_then(Recorded::known),
        })
    }

    fn print(&self, now: Timestamp) -> Result<(), Failure> {
        output::line(&format!("record      {}", output::clean(&self.record)))?;
        output::line(&format!("tracking id {}", output::clean(&self.tracking_id)))?;
        output::line(&format!("event       {}", output::clean(&self.kind)))?;
        output::line(&format!("office      {}", output::clean(&output::or_dash(self.office.as_deref()))))?;
        output::line(&format!("number      {}", if self.numbered { "allocated" } else { "none" }))?;
        output::line(&format!("ID system   {}", output::or_dash(self.known)))?;
        if let Some(since) = self.writing_since {
            let age = output::span(since, now);
            output::line(&format!("a write to OpenCRVS began {age} ago, and its result is not known"))?;
        }
        output::line("")?;
        let attempts: Vec<Vec<String>> = self.attempts.iter().map(|attempt| attempt.row(now)).collect();
        let heading = ["ATTEMPT", "SUBMISSION", "STATE", "CAUSE", "ANSWER", "ACCEPTED", "TOKEN LEFT"];
        output::table(&heading, &attempts)?;
        self.print_failing(now)?;
        output::line("")?;
        let entries: Vec<Vec<String>> = self.history.iter().map(ShownEntry::row).collect();
        output::table(&["AT", "ATTEMPT", "STAGE", "WHAT", "CAUSE", "WHO", "WHY"], &entries)?;
        self.print_advice()
    }

    fn print_failing(&self, now: Timestamp) -> Result<(), Failure> {
        let failing = self.attempts.last().and_then(|attempt| attempt.failing.as_ref());
        let Some(ShownFailing { cause, count, since, next_try_at }) = failing else { return Ok(()) };
        let next = match next_try_at {
            Some(at) if *at > now => format!("; the next try is in {}", output::span(now, *at)),
            Some(_) | None => String::new(),
        };
        let age = output::span(*since, now);
        output::line(&format!("\nit has failed {count} times, for {age}, last: {cause}{next}"))
    }

    fn print_advice(&self) -> Result<(), Failure> {
        let Some(cause) = self.newest_cause else { return Ok(()) };
        let advice = cause.advice();
        output::line(&format!("\n{}: {}\n{}", cause.as_str(), advice.means, advice.action))
    }
}

impl ShownAttempt {
    fn of(case: &Case, now: Timestamp) -> Self {
        let attempt = &case.attempt;
        Self {
            attempt: attempt.id.to_string(),
            submission: attempt.submission,
            state: attempt.state.as_str(),
            cause: attempt.cause.as_ref().map(|cause| cause.as_str().to_owned()),
            failing: attempt.failing.as_ref().map(|failing| ShownFailing {
                cause: failing.cause.as_str().to_owned(),
                count: failing.count,
                since: failing.since,
                next_try_at: failing.next_try_at,
            }),
            decision: attempt.decision.as_ref().map(OperatorDecision::as_str),
            answer: attempt.answer.map(AnswerKind::as_str),
            reason: attempt.reason.clone(),
            accepted_at: attempt.accepted_at,
            token_expires_at: attempt.token_expires_at,
            token_hours_left: output::hours_left(attempt.token_expires_at, now),
        }
    }

    fn row(&self, now: Timestamp) -> Vec<String> {
        vec![
            self.attempt.clone(),
            self.submission.to_string(),
            self.state.to_owned(),
            output::or_dash(self.cause.as_deref()),
            self.answer_with_reason(),
            output::moment(self.accepted_at),
            output::left(self.token_expires_at, now),
        ]
    }

    fn answer_with_reason(&self) -> String {
        let answer = self.answer.unwrap_or("-");
        match &self.reason {
            None => answer.to_owned(),
            Some(Reason { code, fields, .. }) if fields.is_empty() => format!("{answer}: {}", code.as_str()),
            Some(Reason { code, fields, .. }) => {
                format!("{answer}: {} ({})", code.as_str(), output::clean(&fields.join(", ")))
            }
        }
    }
}

impl ShownEntry {
    fn of(entry: HistoryEntry) -> Self {
        Self {
            at: entry.at,
            attempt: entry.attempt.map(|id| id.to_string()),
            stage: entry.stage.as_str().to_owned(),
            what: entry.what,
            cause: entry.cause.map(|cause| cause.as_str().to_owned()),
            who: entry.who,
            why: entry.why,
        }
    }

    fn row(&self) -> Vec<String> {
        let attempt = self.attempt.as_deref().map(|id| id.chars().take(8).collect::<String>());
        vec![
            output::moment(self.at),
            output::or_dash(attempt.as_deref()),
            self.stage.clone(),
            self.what.clone(),
            output::or_dash(self.cause.as_deref()),
            self.who.clone(),
            output::or_dash(self.why.as_deref()),
        ]
    }
}
