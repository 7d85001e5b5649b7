//! Sends the replies back to work that were parked because the ledger did not have their request.
//!
//! Invariant: only replies go back whose request the ledger has now. All others stay parked.

use std::collections::HashSet;

use anyhow::anyhow;

use super::{LOOK, finished};
use crate::broker::{Incoming, Link, Pick, Replay, ReplayTo};
use crate::domain::{Cause, RequestId};
use crate::ledger::Ledger;
use crate::nid::RefusedReply;
use crate::operate::queue::pick_unsealed;
use crate::operate::session::Session;
use crate::operate::tally::Tally;
use crate::pipeline::names::{self, parking_queue};
use crate::pipeline::stage::chain;
use crate::pipeline::{parked_detail, parked_for};
use crate::roles::Failure;
use crate::seal::Sealer;

/// Returns the number of replies that went back.
pub(super) async fn replay(session: &mut Session, ledger: &Ledger, bridge: &Link) -> Result<usize, Failure> {
    let nid = session.nid_link().await?;
    let sealer = session.sealer()?;
    let mut moved = 0;
    // Messages in the vendor's vhost must not show who operates the bridge, and why.
    let places = [
        (bridge, names::REPLIES_WORK, parking_queue(names::REPLIES_WORK), true),
        (&nid, names::NID_REPLIES, parking_queue(names::NID_REPLIES), false),
        (&nid, names::NID_REPLIES, names::NID_REFUSED.to_owned(), false),
    ];
    for (link, work, from, signed) in places {
        let known = known_requests(link, ledger, &from).await?;
        if known.is_empty() {
            continue;
        }
        let replay = Replay {
            from: from.clone(),
            to: ReplayTo::Queue(work.to_owned()),
            look: LOOK,
            most: usize::MAX,
            by: "recover".to_owned(),
            reason: "the ledger has the request now".to_owned(),
            signed,
        };
        let pick = |message: &Incoming| pick(message, &from, &known, &sealer);
        let replayed = link.replay(&replay, &session.stop, pick).await;
        moved += finished(replayed.map_err(|fault| Failure::Unavailable(anyhow!(chain(&fault))))?)?;
        session.check_stop()?;
    }
    Ok(moved)
}

fn pick(message: &Incoming, from: &str, known: &HashSet<RequestId>, sealer: &Sealer) -> Pick {
    match request_of(message, from) {
        // A reply that no key opens stays, as with `queue replay`.
        Some(request) if known.contains(&request) => pick_unsealed(message, sealer, &mut Tally::default()),
        Some(_) | None => Pick::Leave,
    }
}

/// The requests of the parked replies that the ledger has.
async fn known_requests(link: &Link, ledger: &Ledger, from: &str) -> Result<HashSet<RequestId>, Failure> {
    let request = |message: Incoming| request_of(&message, from);
    let seen =
        link.peek_with(from, LOOK, request).await.map_err(|fault| Failure::Unavailable(fault.into()))?;
    let mut known = HashSet::new();
    for request in seen.into_iter().flatten().collect::<HashSet<_>>() {
        if ledger.record_of(request).await?.is_some() {
            known.insert(request);
        }
    }
    Ok(known)
}

/// The request that a parked reply names, if it was parked because the ledger did not have it.
fn request_of(message: &Incoming, from: &str) -> Option<RequestId> {
    if parked_for(message, from) != Cause::UnknownRequest {
        return None;
    }
    RefusedReply::parse(&parked_detail(message)?)?.request
}
