//! `nidbridge queue`: lists the messages in parking queues (`<queue>.parked`, `nid.replies.refused`
//! and `unrouted`), sends them back to work, and removes refused replies.
//!
//! Invariant: a parked message leaves its parking queue only after its work queue has it, unless it
//! is a refused reply. Message
//! bodies are never shown, and message ids only if they are ours.

mod list;
mod purge;
mod replay;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::causes::cause;
use super::change::ChangeArgs;
use super::output;
use super::session::{self, Session};
use crate::broker::Link;
use crate::domain::Cause;
use crate::ledger::Ledger;
use crate::roles::{Failure, parts};
pub(super) use replay::{LOOK, pick_unsealed};

const REPLAY: &str = "\
Remove the cause first (`nidbridge causes`). Each message is confirmed in its work queue before it is taken out of the \
parking queue. If the command is stopped, even by kill -9, at most one message is in both queues, and every stage recognizes a \
duplicate. A reply that the bridge parked is sealed, and is unsealed on its way back. A message whose cause lasts is parked \
again: replay a few with --limit first. A message of the bridge carries your name and reason; one of a nid.* queue, which \
the ID system could read, does not, so they are kept in the history of its record (`attempts show`). Messages in `unrouted` are published again with their first exchange and routing \
key: run `nidbridge topology apply` before.\n\n\
Exit codes: 0 done; 1 some stay, because no key of SEAL_KEYS opens them or still no queue takes them; 69 the broker cannot \
be reached; 75 stopped before the end, run it again; 78 the broker serves another ledger, or SEAL_KEYS is not of the ledger.";

const PURGE: &str = "\
Look first (`queue list QUEUE`), and send back what may be genuine (`queue replay QUEUE --cause unknown_request`). Your name \
and reason are in the log of this command only.\n\n\
Exit codes: 0 done; 1 the queue is not one of refused replies; 69 the broker cannot be reached; 78 the broker serves another \
ledger, or SEAL_KEYS is not of the ledger.";

/// `nidbridge queue …`
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List the parking queues, or the messages in one of them.
    List(ListMessagesArgs),
    /// Move messages from a parking queue (or `unrouted`) back to work.
    #[command(after_help = REPLAY)]
    Replay(ReplayArgs),
    /// Remove all refused replies of the ID system, such as those of a flood, for good.
    #[command(after_help = PURGE)]
    Purge(PurgeArgs),
}

/// `nidbridge queue list`
#[derive(Debug, Args)]
pub struct ListMessagesArgs {
    /// List the messages in this parking queue.
    #[arg(value_name = "QUEUE.parked")]
    pub queue: Option<String>,
    /// List at most this many messages.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub limit: usize,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `nidbridge queue replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The parking queue, or `unrouted`.
    #[arg(value_name = "QUEUE.parked")]
    pub queue: String,
    /// Move only messages that were parked with this cause.
    #[arg(long, value_name = "CAUSE", value_parser = cause)]
    pub cause: Option<Cause>,
    /// Move at most this many messages.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    pub limit: usize,
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `nidbridge queue purge`
#[derive(Debug, Args)]
pub struct PurgeArgs {
    /// `nid.replies.refused` or `nid.replies.parked`.
    #[arg(value_name = "QUEUE")]
    pub queue: String,
    #[command(flatten)]
    pub change: ChangeArgs,
}

pub(crate) async fn run(command: QueueCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    session::with_keys("queue", file, async |session| match command {
        QueueCommand::List(args) => list::run(session, &args).await,
        QueueCommand::Replay(args) => replay::run(session, &args).await,
        QueueCommand::Purge(args) => purge::run(session, &args).await,
    })
    .await
}

/// Why a command connects to a vhost.
#[derive(Debug, Clone, Copy)]
enum Access<'a> {
    Look,
    /// To move messages. The broker has to serve this ledger.
    Move(&'a Ledger),
}

/// Connects to the vhost that has this parking queue.
async fn link_to(session: &mut Session, queue: &str, access: Access<'_>) -> Result<Link, Failure> {
    let [bridge, national_id] = parts::parking_queues(&session.config);
    let is_bridges = bridge.iter().any(|name| name == queue);
    if is_bridges || national_id.iter().any(|name| name == queue) {
        let link = match access {
            Access::Move(ledger) => Some(session.writing_link(ledger).await?),
            Access::Look if is_bridges => Some(session.bridge_link().await?),
            Access::Look => None,
        };
        return match link {
            Some(link) if is_bridges => Ok(link),
            Some(_) | None => session.nid_link().await,
        };
    }
    let known = [bridge, national_id].concat().join(", ");
    Err(Failure::Failed(anyhow!("there is no parking queue {}: there are {known}", output::clean(queue))))
}
