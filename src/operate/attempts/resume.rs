//! `nidbridge attempts resume`.

use std::collections::BTreeMap;

use anyhow::anyhow;
use tokio_util::sync::CancellationToken;

use super::ResumeArgs;
use crate::config::Config;
use crate::domain::{AttemptId, State};
use crate::ledger::{Ledger, Resumed, Selection};
use crate::operate::output;
use crate::pipeline::NextHop;
use crate::pipeline::stage::chain;
use crate::roles::{Failure, parts};

pub(super) async fn run(config: &Config, args: &ResumeArgs, stop: &CancellationToken) -> Result<(), Failure> {
    let sealer = parts::sealer(config)?;
    let operator = args.by.clone().unwrap_or_else(parts::account);
    let ledger = parts::operators_ledger(config, &format!("operator {operator}"), &sealer).await?;
    let done = match (&args.reason, args.dry_run) {
        (Some(reason), false) => resume(config, args, reason, &ledger, stop).await,
        (Some(_) | None, _) => rehearse(args, &ledger).await,
    };
    ledger.close().await;
    done
}

async fn chosen(args: &ResumeArgs, ledger: &Ledger) -> Result<Vec<AttemptId>, Failure> {
    let Some(cause) = args.cause else { return Ok(args.attempts.clone()) };
    let selection = Selection { states: vec![State::Parked], cause: Some(cause), ..Selection::default() };
    let found = ledger.listed(&selection, args.limit).await.map_err(parts::ledger_away)?;
    Ok(found.into_iter().map(|one| one.attempt).collect())
}

async fn rehearse(args: &ResumeArgs, ledger: &Ledger) -> Result<(), Failure> {
    let mut tally = Tally::default();
    for attempt in chosen(args, ledger).await? {
        let would = ledger.would_resume(attempt).await.map_err(parts::ledger_away)?;
        tally.count(attempt, &would)?;
    }
    output::line(&format!("would go on: {}", tally.open))?;
    tally.verdict()
}

async fn resume(
    config: &Config,
    args: &ResumeArgs,
    reason: &str,
    ledger: &Ledger,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let attempts = chosen(args, ledger).await?;
    // Nothing is changed as long as nothing could be published.
    let link = parts::operators_link(config).await?;
    let next = parts::next_hop(config, ledger, &link);
    let mut tally = Tally::default();
    let done = each(config, &attempts, reason, (ledger, &next), &mut tally, stop).await;
    link.close().await;
    output::line(&format!("go on: {}; went on already: {}", tally.open, tally.already))?;
    done?;
    tally.verdict()
}

async fn each(
    config: &Config,
    attempts: &[AttemptId],
    reason: &str,
    (ledger, next): (&Ledger, &NextHop),
    tally: &mut Tally,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    for attempt in attempts {
        if stop.is_cancelled() {
            return Err(Failure::Later(anyhow!("stopped before the end: run it again")));
        }
        let resumed = ledger.resume(*attempt, &config.number.template, reason).await;
        let resumed = resumed.map_err(parts::ledger_away)?;
        tally.count(*attempt, &resumed)?;
        if let Resumed::Open(case) = resumed {
            next.drive(&case).await.map_err(|fault| {
                let why = "is resumed in the ledger, but not published: a worker's sweep or `nidbridge recover` does that";
                Failure::Unavailable(anyhow!("{attempt} {why}: {}", chain(&fault)))
            })?;
        }
    }
    Ok(())
}

/// How many go on, and why the others do not.
#[derive(Default)]
struct Tally {
    open: usize,
    already: usize,
    refused: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn count(&mut self, attempt: AttemptId, resumed: &Resumed) -> Result<(), Failure> {
        let why = match resumed {
            Resumed::Open(_) => {
                self.open += 1;
                return Ok(());
            }
            // It was resumed before, or a stage is at it by itself.
            Resumed::NotParked(state) if state.is_open() => {
                self.already += 1;
                return output::line(&format!("{attempt}: it goes on already"));
            }
            Resumed::NotParked(_) => "it has ended, and nothing goes on from there",
            Resumed::TokenDead => {
                "its token is dead: `nidbridge tokens replace` gives it another one and lets it go on"
            }
            Resumed::NumberTaken => "another record has the number that NUMBER_TEMPLATE makes for it",
            Resumed::Unknown => "the ledger has no such attempt",
        };
        *self.refused.entry(why).or_default() += 1;
        output::line(&format!("{attempt}: {why}"))
    }

    fn verdict(&self) -> Result<(), Failure> {
        let refused: usize = self.refused.values().sum();
        match refused {
            0 => Ok(()),
            refused => Err(Failure::Failed(anyhow!("{refused} of them do not go on"))),
        }
    }
}
