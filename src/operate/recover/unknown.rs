//! `nidbridge recover --unknown`: takes in again what a restored ledger does not have.
//!
//! Parked requests and outcomes contain the sealed registration, and so do the copies of the
//! requests that were sent in the last 48 hours. When the ledger has the attempts, the replies that
//! came meanwhile go back to work.
//!
//! Invariant: a message leaves its queue only after the queue of the record stage has its
//! registration. The record stage recognises a repeat.

mod replies;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use bytes::Bytes;

use crate::broker::{Incoming, Link, Pick, Replay, ReplayTo, Replayed};
use crate::domain::{AttemptId, Cause};
use crate::ledger::Ledger;
use crate::operate::output;
use crate::operate::queue::LOOK;
use crate::operate::session::Session;
use crate::operate::tally::{Miss, Tally};
use crate::pipeline::names::{self, AMQP_SYSTEM, parking_queue};
use crate::pipeline::stage::chain;
use crate::pipeline::{Message, OutcomeMessage, RegistrationMessage, RequestMessage, parked_for};
use crate::roles::Failure;

/// How long the command waits until the record stage has recorded what was taken in.
const RECORD_WAIT: Duration = Duration::from_secs(60);
/// Pause between two looks at the ledger.
const RECORD_PAUSE: Duration = Duration::from_millis(300);

pub(super) async fn run(session: &mut Session, dry_run: bool) -> Result<(), Failure> {
    let ledger = session.ledger("recover").await?;
    let link = if dry_run { session.bridge_link().await? } else { session.writing_link(&ledger).await? };
    let sent = names::requests_sent(AMQP_SYSTEM);
    let mut taking = Taking {
        lacking: lacking(&link, &ledger, &sent).await?,
        taken: HashSet::new(),
        tally: Tally::default(),
    };
    let parked =
        [names::requests_work(AMQP_SYSTEM), names::OUTCOMES_WORK.to_owned()].map(|work| parking_queue(&work));
    for from in [sent].iter().chain(&parked) {
        if dry_run {
            taking.look(&link, from).await?;
        } else {
            taking.take_in(session, &link, from).await?;
            session.check_stop()?;
        }
    }
    let Taking { taken, tally, .. } = taking;
    if dry_run {
        output::line(&format!("would be taken in again: {}", taken.len()))?;
        return verdict(&tally);
    }
    output::line(&format!("taken in again: {}", taken.len()))?;
    wait_until_recorded(session, &ledger, &taken).await?;
    let replayed = replies::replay(session, &ledger, &link).await?;
    output::line(&format!("replies that went back to work: {replayed}"))?;
    verdict(&tally)
}

fn verdict(tally: &Tally) -> Result<(), Failure> {
    tally.verdict(|_, count| {
        format!("{count} stay where they are, because they contain no registration: look for their records in OpenCRVS (`nidbridge reconcile`)")
    })
}

/// The attempts that the ledger does not have although a request about them was sent.
async fn lacking(link: &Link, ledger: &Ledger, sent: &str) -> Result<HashSet<AttemptId>, Failure> {
    let mut lacking = HashSet::new();
    for attempt in attempts_in(link, sent).await? {
        if !ledger.has_attempt(attempt).await? {
            lacking.insert(attempt);
        }
    }
    Ok(lacking)
}

async fn attempts_in(link: &Link, sent: &str) -> Result<HashSet<AttemptId>, Failure> {
    let there = link.depth(sent).await.map_err(|fault| Failure::Unavailable(fault.into()))?.ready;
    let there = usize::try_from(there).unwrap_or(usize::MAX);
    let attempt = |message: Incoming| AttemptId::parse(message.id.as_deref()?).ok();
    let seen = link.peek_with(sent, there, attempt).await;
    Ok(seen.map_err(|fault| Failure::Unavailable(fault.into()))?.into_iter().flatten().collect())
}

struct Taking {
    /// The attempts that are taken in from the copies of requests that were sent.
    lacking: HashSet<AttemptId>,
    taken: HashSet<AttemptId>,
    tally: Tally,
}

impl Taking {
    async fn look(&mut self, link: &Link, from: &str) -> Result<(), Failure> {
        let look = |message: Incoming| drop(self.pick(&message, from));
        link.peek_with(from, usize::MAX, look).await.map_err(|fault| Failure::Unavailable(fault.into()))?;
        Ok(())
    }

    async fn take_in(&mut self, session: &Session, link: &Link, from: &str) -> Result<(), Failure> {
        let replay = Replay {
            from: from.to_owned(),
            to: ReplayTo::Queue(names::REGISTRATIONS_WORK.to_owned()),
            look: usize::MAX,
            most: usize::MAX,
            by: "recover".to_owned(),
            reason: "the ledger does not have the attempt".to_owned(),
            signed: true,
        };
        let replayed = link.replay(&replay, &session.stop, |message| self.pick(message, from)).await;
        finished(replayed.map_err(|fault| Failure::Unavailable(anyhow!(chain(&fault))))?).map(drop)
    }

    /// Replaces a request or an outcome by the registration that it contains.
    fn pick(&mut self, message: &Incoming, from: &str) -> Pick {
        let attempt = message.id.as_deref().and_then(|id| AttemptId::parse(id).ok());
        let is_parked = parked_for(message, from) == Cause::UnknownAttempt;
        if !is_parked && attempt.is_none_or(|attempt| !self.lacking.contains(&attempt)) {
            return Pick::Leave;
        }
        let body = kept(&message.body).and_then(|kept| serde_json::to_vec(&kept).ok());
        let (Some(body), Some(attempt)) = (body, attempt) else {
            self.tally.add_missed(Miss::Failed, 1);
            return Pick::Leave;
        };
        self.taken.insert(attempt);
        Pick::Replay(Bytes::from(body))
    }
}

/// Returns the number of messages that were moved.
fn finished(replayed: Replayed) -> Result<usize, Failure> {
    match replayed.stopped {
        Some(fault) => Err(Failure::Later(anyhow!("the work queue took no more: {}", chain(&fault)))),
        None => Ok(replayed.moved),
    }
}

fn kept(body: &[u8]) -> Option<RegistrationMessage> {
    let request = RequestMessage::read(body).ok().and_then(|message| message.kept);
    let kept = request.or_else(|| OutcomeMessage::read(body).ok().and_then(|message| message.kept));
    kept.map(|kept| *kept)
}

/// Waits until the ledger has these attempts, because a reply to an attempt that it does not have
/// would be parked again.
async fn wait_until_recorded(
    session: &Session,
    ledger: &Ledger,
    taken: &HashSet<AttemptId>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    for (recorded, attempt) in taken.iter().enumerate() {
        while !ledger.has_attempt(*attempt).await? {
            session.check_stop()?;
            if begun.elapsed() > RECORD_WAIT {
                return Err(Failure::Later(anyhow!(
                    "only {recorded} of them are in the ledger yet: start the worker, and run this again for the replies \
                     that came meanwhile"
                )));
            }
            tokio::time::sleep(RECORD_PAUSE).await;
        }
    }
    Ok(())
}
