//! `nidbridge recover --unknown`: takes in again what a restored ledger does not have.
//!
//! Invariant: a message leaves its parking queue only after the queue of the record stage has its
//! registration. The record stage recognises a repeat.

use anyhow::anyhow;
use bytes::Bytes;

use crate::broker::{Incoming, Pick, Replay, ReplayTo};
use crate::domain::Cause;
use crate::operate::output;
use crate::operate::session::Session;
use crate::operate::tally::{Miss, Tally};
use crate::pipeline::names::{self, AMQP_SYSTEM, parking_queue};
use crate::pipeline::stage::chain;
use crate::pipeline::{Message, OutcomeMessage, RegistrationMessage, RequestMessage, parked_for};
use crate::roles::Failure;

/// Limit of the messages that one run looks at in a queue.
const LOOK: usize = 20_000;

pub(super) async fn take_in(session: &mut Session, dry_run: bool) -> Result<(), Failure> {
    let link = session.bridge_link().await?;
    let (mut tally, mut count) = (Tally::default(), 0);
    for work in [names::requests_work(AMQP_SYSTEM), names::OUTCOMES_WORK.to_owned()] {
        let from = parking_queue(&work);
        if dry_run {
            let look =
                |message: Incoming| count += usize::from(pick(&message, &from, &mut tally) != Pick::Leave);
            let seen = link.peek_with(&from, LOOK, look).await;
            seen.map_err(|fault| Failure::Unavailable(fault.into()))?;
            continue;
        }
        let replay = Replay {
            from: from.clone(),
            to: ReplayTo::Queue(names::REGISTRATIONS_WORK.to_owned()),
            look: LOOK,
            most: usize::MAX,
            by: "recover".to_owned(),
            reason: "the ledger does not have the attempt".to_owned(),
            signed: true,
        };
        let replayed = link.replay(&replay, &session.stop, |message| pick(message, &from, &mut tally)).await;
        let replayed = replayed.map_err(|fault| Failure::Unavailable(anyhow!(chain(&fault))))?;
        count += replayed.moved;
        if let Some(fault) = replayed.stopped {
            return Err(Failure::Later(anyhow!("the record stage's queue took no more: {}", chain(&fault))));
        }
        session.check_stop()?;
    }
    output::line(&format!(
        "{}: {count}",
        if dry_run { "would be taken in again" } else { "taken in again" }
    ))?;
    if count > 0 && !dry_run {
        output::line(&format!(
            "the ID system is asked about them again; replies that it sent meanwhile go back to work with `nidbridge queue \
             replay {} --cause {} --reason TEXT`",
            parking_queue(names::NID_REPLIES),
            Cause::UnknownRequest.as_str()
        ))?;
    }
    tally.verdict(|_, count| {
        format!("{count} stay where they are, because they contain no registration: look for their records in OpenCRVS (`nidbridge reconcile`)")
    })
}

/// Replaces a request or an outcome by the registration that it contains.
fn pick(message: &Incoming, from: &str, tally: &mut Tally) -> Pick {
    if parked_for(message, from) != Cause::UnknownAttempt {
        return Pick::Leave;
    }
    let body = kept(&message.body).and_then(|kept| serde_json::to_vec(&kept).ok());
    body.map_or_else(
        || {
            tally.add_missed(Miss::Failed, 1);
            Pick::Leave
        },
        |body| Pick::Replay(Bytes::from(body)),
    )
}

fn kept(body: &[u8]) -> Option<RegistrationMessage> {
    let request = RequestMessage::read(body).ok().and_then(|message| message.kept);
    let kept = request.or_else(|| OutcomeMessage::read(body).ok().and_then(|message| message.kept));
    kept.map(|kept| *kept)
}
