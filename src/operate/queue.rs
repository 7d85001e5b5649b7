//! `nidbridge queue`: what could not even be recorded rests in a queue `….parked`; it is looked at, and sent back to work.
//!
//! Invariant: a parked message leaves its place only when its work queue has it; no body is ever shown, and no id that
//! is not one of ours.

mod replay;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::causes::cause;
use super::output;
use crate::broker::{Incoming, Link, names};
use crate::config::Config;
use crate::domain::Cause;
use crate::roles::{Failure, parts, start};

const REPLAY: &str = "\
Remove the cause first (`nidbridge causes`). Each message is confirmed in its work queue before it is taken out of the \
parking place; breaking this off, even by kill -9, leaves at most one message in both, and every stage takes a duplicate for \
what it is. A reply that was parked sealed is opened again for that. What is parked for the same cause once more stays parked: \
run it once, then look. What is in `unrouted` goes back to the exchange and the routing key that it was published with: run \
`nidbridge topology apply` first.\n\n\
Exit codes: 0 done; 1 some stay: no key of SEAL_KEYS opens them, or still no queue takes them; 69 the broker cannot be reached; 75 stopped before \
the end, run it again.";

/// `nidbridge queue …`
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Lists the parking places, or what is in one of them.
    List(ListArgs),
    /// Moves messages from a parking place back to its work queue.
    #[command(after_help = REPLAY)]
    Replay(ReplayArgs),
}

/// `nidbridge queue list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Look into this queue.
    #[arg(value_name = "QUEUE.parked")]
    pub queue: Option<String>,
    /// Messages that are looked at, at most.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub limit: usize,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `nidbridge queue replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The parking place.
    #[arg(value_name = "QUEUE.parked")]
    pub queue: String,
    /// Only those that were parked for this cause.
    #[arg(long, value_name = "CAUSE", value_parser = cause)]
    pub cause: Option<Cause>,
    /// How many, at most.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    pub limit: usize,
    /// Why; it travels with the message.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", value_parser = super::attempts::reason)]
    pub reason: Option<String>,
    /// Who; the name of the account without it.
    #[arg(long, value_name = "NAME", value_parser = super::attempts::reason)]
    pub by: Option<String>,
    /// Only count them.
    #[arg(long)]
    pub dry_run: bool,
}

pub(crate) async fn run(command: QueueCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    let body = async move |config: Arc<Config>, stop| match command {
        QueueCommand::List(args) => list(&config, &args).await,
        QueueCommand::Replay(args) => replay::run(&config, &args, &stop).await,
    };
    start::operation("queue", file, body).await
}

/// A link to the vhost that has this parking place.
async fn link_to(config: &Config, queue: &str) -> Result<Link, Failure> {
    let [bridge, national_id] = parts::parking_places(config);
    if bridge.iter().any(|name| name == queue) {
        return parts::operators_link(config).await;
    }
    if national_id.iter().any(|name| name == queue) {
        return parts::operators_nid_link(config).await;
    }
    let known = [bridge, national_id].concat().join(", ");
    Err(Failure::Failed(anyhow::anyhow!(
        "there is no parking place {}: there are {known}",
        output::clean(queue)
    )))
}

async fn list(config: &Config, args: &ListArgs) -> Result<(), Failure> {
    match &args.queue {
        Some(queue) => look(config, queue, args).await,
        None => overview(config, args.json).await,
    }
}

#[derive(Serialize)]
struct Place {
    queue: String,
    messages: u32,
}

async fn overview(config: &Config, json: bool) -> Result<(), Failure> {
    let links = [parts::operators_link(config).await?, parts::operators_nid_link(config).await?];
    let mut found = Vec::new();
    for (link, places) in links.iter().zip(parts::parking_places(config)) {
        for queue in places {
            let depth = link.depth(&queue).await.with_context(|| queue.clone())?;
            found.push(Place { queue, messages: depth.ready });
        }
    }
    for link in links {
        link.close().await;
    }
    if json {
        return output::json(&found);
    }
    let rows: Vec<_> =
        found.iter().map(|place| vec![place.messages.to_string(), place.queue.clone()]).collect();
    output::table(&["MESSAGES", "QUEUE"], &rows)
}

#[derive(Serialize)]
struct Parked {
    id: Option<String>,
    kind: Option<String>,
    cause: &'static str,
    attempt: u32,
    parked_at: Option<String>,
    first_seen: jiff::Timestamp,
    bytes: usize,
    replayed_by: Option<String>,
}

async fn look(config: &Config, queue: &str, args: &ListArgs) -> Result<(), Failure> {
    let link = link_to(config, queue).await?;
    let seen = link.look(queue, args.limit, |message| Parked::of(queue, &message)).await;
    let depth = link.depth(queue).await;
    link.close().await;
    let (parked, depth) = (seen.context("the broker")?, depth.context("the broker")?);
    if args.json {
        return output::json(&parked);
    }
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = parked
        .iter()
        .map(|one| {
            vec![
                one.cause.to_owned(),
                dash(&one.parked_at),
                output::moment(one.first_seen),
                one.attempt.to_string(),
                one.bytes.to_string(),
                dash(&one.kind),
                dash(&one.id),
            ]
        })
        .collect();
    output::table(&["CAUSE", "PARKED", "FIRST SEEN", "TRIES", "BYTES", "KIND", "ID"], &rows)?;
    let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
    for one in &parked {
        *causes.entry(one.cause).or_default() += 1;
    }
    let causes: Vec<String> = causes.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
    let of_all = depth.ready.max(u32::try_from(parked.len()).unwrap_or(u32::MAX));
    output::line(&format!("{} of {of_all} looked at; by cause: {}", parked.len(), causes.join(", ")))
}

impl Parked {
    fn of(queue: &str, message: &Incoming) -> Self {
        let header = |name: &str| message.headers.get(name).cloned();
        Self {
            id: message.own_id().map(str::to_owned),
            kind: message.kind.clone().filter(|kind| is_kind(kind)),
            cause: message.parked_for(queue).as_str(),
            attempt: message.attempt,
            parked_at: header(names::PARKED_AT),
            first_seen: message.first_seen,
            bytes: message.body.len(),
            replayed_by: header(names::REPLAYED_BY),
        }
    }
}

/// The kinds of message that there are, ours and the contract's.
fn is_kind(kind: &str) -> bool {
    let of_the_contract = kind.starts_with("crvs.nid.") && kind.len() <= 40;
    ["registration.v1", "request.v1", "outcome.v1"].contains(&kind)
        || (of_the_contract && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '.'))
}
