//! `nidbridge attempts show`.

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;

use super::ShowArgs;
use crate::config::Config;
use crate::domain::resolve::{AnswerKind, Known};
use crate::domain::{Cause, Reason, RecordId};
use crate::ledger::{Case, Entry, Ledger};
use crate::operate::output;
use crate::roles::{Failure, parts};

pub(super) async fn run(config: &Config, args: &ShowArgs) -> Result<(), Failure> {
    let sealer = parts::sealer(config)?;
    let ledger = parts::operators_ledger(config, "attempts", &sealer).await?;
    let done = show(&ledger, args).await;
    ledger.close().await;
    done
}

async fn show(ledger: &Ledger, args: &ShowArgs) -> Result<(), Failure> {
    let records = ledger.records_named(&args.name).await.map_err(parts::ledger_away)?;
    if records.is_empty() {
        return Err(Failure::Failed(anyhow!(
            "the ledger has no record, tracking id or attempt {}: it was never accepted here, or is not recorded yet",
            output::clean(&args.name)
        )));
    }
    let now = ledger.now().await.map_err(parts::ledger_away)?;
    let mut stories = Vec::new();
    for record in &records {
        let attempts = ledger.attempts_of(record).await.map_err(parts::ledger_away)?;
        let history = ledger.history(record).await.map_err(parts::ledger_away)?;
        stories.extend(Story::of(record, &attempts, history, now));
    }
    if args.json {
        return output::json(&stories);
    }
    stories.iter().try_for_each(|story| story.print(now))
}

/// A record, its attempts and what happened to it.
#[derive(Serialize)]
struct Story {
    record: String,
    tracking_id: String,
    kind: String,
    office: Option<String>,
    /// Whether it has its registration number.
    numbered: bool,
    /// What the ID system has said for good.
    known: Option<&'static str>,
    /// Since when a write to OpenCRVS is under way or not known to have ended.
    writing_since: Option<Timestamp>,
    attempts: Vec<Attempt>,
    history: Vec<Event>,
}

#[derive(Serialize)]
struct Attempt {
    attempt: String,
    submission: u32,
    state: &'static str,
    cause: Option<String>,
    answer: Option<&'static str>,
    /// Why it was rejected: a code, and the contract's names of fields. What the ID system wrote beside it is not kept.
    reason: Option<Reason>,
    accepted_at: Timestamp,
    token_expires_at: Timestamp,
    token_hours_left: f64,
}

#[derive(Serialize)]
struct Event {
    at: Timestamp,
    attempt: Option<String>,
    stage: String,
    what: String,
    cause: Option<String>,
    who: String,
    why: Option<String>,
}

impl Story {
    fn of(record: &RecordId, attempts: &[Case], history: Vec<Entry>, now: Timestamp) -> Option<Self> {
        let of = &attempts.first()?.record;
        Some(Self {
            record: record.to_string(),
            tracking_id: of.tracking_id.to_string(),
            kind: of.kind.as_str().to_owned(),
            office: of.office.clone(),
            numbered: of.number.is_some(),
            known: of.known.map(|known| match known {
                Known::Issued => "issued",
                Known::Recorded => "recorded",
            }),
            writing_since: of.intent.map(|intent| intent.at),
            attempts: attempts.iter().map(|case| Attempt::of(case, now)).collect(),
            history: history.into_iter().map(Event::of).collect(),
        })
    }

    fn print(&self, now: Timestamp) -> Result<(), Failure> {
        let dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
        output::line(&format!("record      {}", output::clean(&self.record)))?;
        output::line(&format!("tracking id {}", output::clean(&self.tracking_id)))?;
        output::line(&format!("event       {}", output::clean(&self.kind)))?;
        output::line(&format!("office      {}", output::clean(&dash(self.office.as_deref()))))?;
        output::line(&format!("number      {}", if self.numbered { "allocated" } else { "none" }))?;
        output::line(&format!("ID system   {}", dash(self.known)))?;
        if let Some(since) = self.writing_since {
            let age = output::span(since, now);
            output::line(&format!("a write to OpenCRVS was begun {age} ago, and how it ended is not known"))?;
        }
        output::line("")?;
        let attempts: Vec<Vec<String>> = self.attempts.iter().map(|attempt| attempt.row(now)).collect();
        let heading = ["ATTEMPT", "SUBMISSION", "STATE", "CAUSE", "ANSWER", "ACCEPTED", "TOKEN LEFT"];
        output::table(&heading, &attempts)?;
        output::line("")?;
        let events: Vec<Vec<String>> = self.history.iter().map(Event::row).collect();
        output::table(&["AT", "ATTEMPT", "STAGE", "WHAT", "CAUSE", "WHO", "WHY"], &events)?;
        let newest = self.attempts.last().and_then(|attempt| Cause::parse(attempt.cause.as_deref()?));
        let Some(cause) = newest else { return Ok(()) };
        let advice = cause.advice();
        output::line(&format!("\n{}: {}\n{}", cause.as_str(), advice.means, advice.action))
    }
}

impl Attempt {
    fn of(case: &Case, now: Timestamp) -> Self {
        let attempt = &case.attempt;
        Self {
            attempt: attempt.id.to_string(),
            submission: attempt.submission,
            state: attempt.state.as_str(),
            cause: attempt.cause.clone(),
            answer: attempt.answer.map(AnswerKind::as_str),
            reason: attempt.reason.clone(),
            accepted_at: attempt.accepted_at,
            token_expires_at: attempt.token_expires_at,
            token_hours_left: output::hours(attempt.token_expires_at.duration_since(now)),
        }
    }

    fn row(&self, now: Timestamp) -> Vec<String> {
        let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            self.attempt.clone(),
            self.submission.to_string(),
            self.state.to_owned(),
            dash(&self.cause),
            self.answered(),
            output::moment(self.accepted_at),
            output::left(self.token_expires_at, now),
        ]
    }
}

impl Attempt {
    fn answered(&self) -> String {
        let answer = self.answer.unwrap_or("-");
        match &self.reason {
            None => answer.to_owned(),
            Some(Reason { code, fields }) if fields.is_empty() => format!("{answer}: {}", code.as_str()),
            Some(Reason { code, fields }) => {
                format!("{answer}: {} ({})", code.as_str(), output::clean(&fields.join(", ")))
            }
        }
    }
}

impl Event {
    fn of(entry: Entry) -> Self {
        Self {
            at: entry.at,
            attempt: entry.attempt.map(|id| id.to_string()),
            stage: entry.stage,
            what: entry.what,
            cause: entry.cause,
            who: entry.who,
            why: entry.why,
        }
    }

    fn row(&self) -> Vec<String> {
        let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            output::moment(self.at),
            self.attempt.as_ref().map_or_else(|| "-".to_owned(), |id| id.chars().take(8).collect()),
            self.stage.clone(),
            self.what.clone(),
            dash(&self.cause),
            self.who.clone(),
            dash(&self.why),
        ]
    }
}
