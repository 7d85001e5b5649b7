//! `nidbridge attempts resume`.
//!
//! Invariant: the ledger is changed only after the broker is connected, so that the resumed
//! attempts can be published.

use anyhow::anyhow;

use super::ResumeArgs;
use crate::domain::{AttemptId, RecordId, State};
use crate::ledger::{Case, Ledger, Resumed, Selection};
use crate::operate::change::Mode;
use crate::operate::output;
use crate::operate::session::Session;
use crate::operate::tally::{Miss, Tally};
use crate::pipeline::NextHop;
use crate::pipeline::stage::chain;
use crate::roles::{Failure, parts};

pub(super) async fn run(session: &mut Session, args: &ResumeArgs) -> Result<(), Failure> {
    let ledger = session.ledger(&format!("operator {}", args.change.by())).await?;
    let attempts = selected(args, &ledger).await?;
    let has_client = parts::has_client(&session.config);
    let mut tally = Tally::default();
    match args.change.mode() {
        Mode::DryRun => {
            for attempt in attempts {
                count(&mut tally, attempt, &ledger.check_resume(attempt, has_client).await?)?;
            }
            output::line(&format!("would be resumed: {}", tally.done()))?;
        }
        Mode::Change { reason } => {
            let next = session.next_hop(&ledger).await?;
            let done = Resume { session, ledger, next, has_client, reason }.all(&attempts, &mut tally).await;
            output::line(&format!("resumed: {}; already under way: {}", tally.done(), tally.skipped()))?;
            done?;
        }
    }
    tally.verdict(|_, count| format!("{count} could not be resumed, for the reasons above"))
}

async fn selected(args: &ResumeArgs, ledger: &Ledger) -> Result<Vec<AttemptId>, Failure> {
    let Some(cause) = args.cause else { return Ok(args.attempts.clone()) };
    let of = |state| Selection { states: vec![state], cause: Some(cause), ..Selection::default() };
    let found = ledger.list_attempts(&of(State::Parked), args.limit).await?;
    let held: u64 = ledger.group_attempts(&of(State::Held)).await?.iter().map(|group| group.count).sum();
    if held > 0 {
        output::line(&format!(
            "{held} with this cause are held, not parked: only `nidbridge attempts decide` ends those"
        ))?;
    }
    Ok(found.into_iter().map(|one| one.attempt).collect())
}

struct Resume<'a> {
    session: &'a Session,
    ledger: Ledger,
    next: NextHop,
    has_client: bool,
    reason: &'a str,
}

impl Resume<'_> {
    async fn all(&self, attempts: &[AttemptId], tally: &mut Tally) -> Result<(), Failure> {
        let numbers = &parts::number_rules(&self.session.config);
        for attempt in attempts {
            self.session.check_stop()?;
            let resumed = self.ledger.resume(*attempt, numbers, self.has_client, self.reason).await?;
            count(tally, *attempt, &resumed)?;
            if let Resumed::Open(case) = resumed {
                self.publish(&case).await?;
            }
        }
        Ok(())
    }

    async fn publish(&self, case: &Case) -> Result<(), Failure> {
        self.next.drive(case).await.map_err(|fault| {
            let why = "is resumed in the ledger, but not published: a worker's sweep or `nidbridge recover` does that";
            Failure::Unavailable(anyhow!("{} {why}: {}", case.attempt.id, chain(&fault)))
        })
    }
}

fn count(tally: &mut Tally, attempt: AttemptId, resumed: &Resumed) -> Result<(), Failure> {
    let why = match resumed {
        Resumed::Open(_) => {
            tally.add_done();
            return Ok(());
        }
        Resumed::NotParked(state) if state.is_open() => return tally.skip(attempt, "it goes on already"),
        Resumed::NotParked(_) => "it has ended and cannot be resumed",
        Resumed::TokenExpired => {
            "its token has expired: `nidbridge tokens replace` gives it a new one and resumes it"
        }
        Resumed::NumberTaken(owner) => {
            return tally.miss(Miss::Failed, attempt, &number_taken(owner.as_ref()));
        }
        Resumed::Unknown => "the ledger has no such attempt",
    };
    tally.miss(Miss::Failed, attempt, why)
}

/// Why an attempt cannot have its number.
pub(super) fn number_taken(owner: Option<&RecordId>) -> String {
    match owner {
        Some(owner) => format!(
            "record {owner} has its number: see `nidbridge attempts show {owner}`, and correct NUMBER_TEMPLATE, NUMBER_UNIQUE \
             or the number that the country gives"
        ),
        None => "NUMBER_TEMPLATE makes no usable number for it".to_owned(),
    }
}
