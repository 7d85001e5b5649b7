//! `nidbridge attempts decide`.
//!
//! Invariant: the rules of [`domain::decide_by_operator`](crate::domain::decide_by_operator) apply;
//! the command writes only the ledger, after the broker is connected. The ID is read from a file,
//! sealed, and not shown.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use zeroize::Zeroizing;

use super::resume::number_taken;
use super::{DecideArgs, DecideAs};
use crate::domain::{AttemptId, NationalId, OperatorDecision, Reason, State};
use crate::ledger::{Case, Decided, Deciding, Ledger, SealedId, Selection};
use crate::operate::change::Mode;
use crate::operate::output;
use crate::operate::session::Session;
use crate::operate::tally::{Miss, Tally};
use crate::pipeline::NextHop;
use crate::pipeline::stage::chain;
use crate::roles::{Failure, parts};

/// Maximum size of the file with the ID, in bytes.
const ID_MAX: u64 = 1024;

pub(super) async fn run(session: &mut Session, args: &DecideArgs) -> Result<(), Failure> {
    let entered = args.id_file.as_deref().map(read_id).transpose()?;
    if entered.is_some() && (args.decision != DecideAs::Issued || args.attempts.len() != 1) {
        return Err(Failure::Failed(anyhow!(
            "--id-file goes with --as issued and exactly one attempt: an ID is of one person"
        )));
    }
    let ledger = session.ledger(&format!("operator {}", args.change.by())).await?;
    let attempts = selected(args, &ledger).await?;
    let id = match (&entered, attempts.first()) {
        (Some(id), Some(attempt)) => sealed(session, &ledger, *attempt, id).await?,
        (Some(_), None) | (None, _) => None,
    };
    let mut deciding = Decide { ledger, args, id, tally: Tally::default() };
    match args.change.mode() {
        Mode::Change { reason } if attempts.len() <= 1 || args.yes => {
            let next = session.next_hop(&deciding.ledger).await?;
            let done = deciding.all(session, &attempts, Some((reason, &next))).await;
            output::line(&format!("decided: {}", deciding.tally.done()))?;
            done?;
        }
        mode @ (Mode::Change { .. } | Mode::DryRun) => {
            deciding.all(session, &attempts, None).await?;
            let more = if matches!(mode, Mode::Change { .. }) { "; add --yes to decide them" } else { "" };
            output::line(&format!("would be decided: {}{more}", deciding.tally.done()))?;
        }
    }
    deciding.tally.verdict(|miss, count| match miss {
        Miss::TryAgain => format!("{count} are being written at this moment: run it again"),
        Miss::Failed | Miss::Unavailable | Miss::Differs => {
            format!("{count} could not be decided, for the reasons above")
        }
    })
}

async fn selected(args: &DecideArgs, ledger: &Ledger) -> Result<Vec<AttemptId>, Failure> {
    if !args.attempts.is_empty() {
        return Ok(args.attempts.clone());
    }
    let states = if args.state.is_empty() { vec![State::Held, State::Parked] } else { args.state.clone() };
    let selection =
        Selection { states, cause: args.cause, office: args.office.clone(), ..Selection::default() };
    let mut found = ledger.list_attempts(&selection, args.limit.saturating_add(1)).await?;
    if found.len() > args.limit {
        found.truncate(args.limit);
        output::line(&format!("… there are more: raise --limit ({})", args.limit))?;
    }
    Ok(found.into_iter().map(|one| one.attempt).collect())
}

fn read_id(file: &Path) -> Result<NationalId, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = if file == Path::new("-") {
        std::io::stdin().take(ID_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(ID_MAX).read_to_string(&mut text))
    };
    read.with_context(|| format!("--id-file: {} cannot be read", file.display()))?;
    NationalId::parse(text.trim_start_matches('\u{feff}').trim())
        .map_err(|fault| Failure::Failed(anyhow!("--id-file: the file does not hold a usable ID: {fault}")))
}

/// Seals the ID for the record of the attempt. `None` if the ledger has no such attempt.
async fn sealed(
    session: &Session,
    ledger: &Ledger,
    attempt: AttemptId,
    id: &NationalId,
) -> Result<Option<SealedId>, Failure> {
    let Some(case) = ledger.case(attempt).await? else { return Ok(None) };
    let sealed = ledger.seal_id(&*session.sealer()?, &case.record.id, id);
    Ok(Some(sealed.context("the ID cannot be sealed: check SEAL_KEYS")?))
}

struct Decide<'a> {
    ledger: Ledger,
    args: &'a DecideArgs,
    id: Option<SealedId>,
    tally: Tally,
}

impl Decide<'_> {
    /// Decides all attempts; without `change`, only says what would be done.
    async fn all(
        &mut self,
        session: &Session,
        attempts: &[AttemptId],
        change: Option<(&str, &NextHop)>,
    ) -> Result<(), Failure> {
        let decision = self.decision();
        let deciding = Deciding {
            decision: &decision,
            id: self.id.as_ref(),
            reason: &Reason::of_operator(),
            numbers: &parts::number_rules(&session.config),
            has_client: parts::has_client(&session.config),
            quarantine: session.config.confirm.quarantine,
            deadline: session.config.nid.deadline,
        };
        for attempt in attempts {
            session.check_stop()?;
            let decided = self.ledger.decide(*attempt, &deciding, change.map(|(why, _)| why)).await?;
            count(&mut self.tally, *attempt, &decided)?;
            if let (Decided::Done(case), Some((_, next))) = (&decided, change) {
                publish(next, case).await?;
            }
        }
        Ok(())
    }

    fn decision(&self) -> OperatorDecision {
        match self.args.decision {
            DecideAs::Issued => OperatorDecision::Issued,
            DecideAs::Recorded => OperatorDecision::Recorded,
            DecideAs::WithoutId => OperatorDecision::WithoutId { comment: self.args.comment.clone() },
            DecideAs::Reject => OperatorDecision::Reject,
            DecideAs::Policy => OperatorDecision::Policy,
            DecideAs::AskAgain => OperatorDecision::AskAgain,
            DecideAs::Close => OperatorDecision::Close,
        }
    }
}

async fn publish(next: &NextHop, case: &Case) -> Result<(), Failure> {
    next.drive(case).await.map_err(|fault| {
        let why =
            "is decided in the ledger, but not published: a worker's sweep or `nidbridge recover` does that";
        Failure::Unavailable(anyhow!("{} {why}: {}", case.attempt.id, chain(&fault)))
    })
}

fn count(tally: &mut Tally, attempt: AttemptId, decided: &Decided) -> Result<(), Failure> {
    match decided {
        Decided::Done(_) => {
            tally.add_done();
            Ok(())
        }
        Decided::Refused(refusal) => {
            let miss = if refusal.is_transient() { Miss::TryAgain } else { Miss::Failed };
            tally.miss(miss, attempt, &refusal.to_string())
        }
        Decided::NumberTaken(owner) => tally.miss(Miss::Failed, attempt, &number_taken(owner.as_ref())),
        Decided::IdTaken(owner) => tally.miss(
            Miss::Failed,
            attempt,
            &format!(
                "record {owner} has this ID (id_of_another_record): see `nidbridge attempts show {owner}`"
            ),
        ),
        Decided::Unknown => tally.miss(Miss::Failed, attempt, "the ledger has no such attempt"),
    }
}
