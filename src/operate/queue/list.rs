//! `nidbridge queue list`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;

use super::{Access, ListMessagesArgs, link_to};
use crate::broker::{Incoming, headers};
use crate::operate::output;
use crate::operate::session::Session;
use crate::pipeline::{
    Message as _, OutcomeMessage, RegistrationMessage, RequestMessage, parked_detail, parked_for,
};
use crate::roles::{Failure, parts};
use crate::seal::Sealer;

pub(super) async fn run(session: &mut Session, args: &ListMessagesArgs) -> Result<(), Failure> {
    match &args.queue {
        Some(queue) => list_messages(session, queue, args).await,
        None => list_queues(session, args.json).await,
    }
}

#[derive(Serialize)]
struct QueueDepth {
    queue: String,
    messages: u32,
}

async fn list_queues(session: &mut Session, json: bool) -> Result<(), Failure> {
    let links = [session.bridge_link().await?, session.nid_link().await?];
    let mut found = Vec::new();
    for (link, queues) in links.iter().zip(parts::parking_queues(&session.config)) {
        for queue in queues {
            let depth = link.depth(&queue).await.with_context(|| queue.clone())?;
            found.push(QueueDepth { queue, messages: depth.ready });
        }
    }
    if json {
        return output::json(&found);
    }
    let rows: Vec<_> = found.iter().map(|one| vec![one.messages.to_string(), one.queue.clone()]).collect();
    output::table(&["MESSAGES", "QUEUE"], &rows)
}

#[derive(Serialize)]
struct ParkedMessage {
    id: Option<String>,
    kind: Option<String>,
    cause: &'static str,
    /// The member of a reply that is at fault, and the request that it is about.
    detail: Option<String>,
    /// How many times the message was tried.
    attempt: u32,
    parked_at: Option<String>,
    first_seen: jiff::Timestamp,
    /// The length of the body; of a reply that the bridge sealed, as it was before.
    bytes: usize,
    replayed_by: Option<String>,
}

async fn list_messages(session: &mut Session, queue: &str, args: &ListMessagesArgs) -> Result<(), Failure> {
    let link = link_to(session, queue, Access::Look).await?;
    let messages = link.peek_with(queue, args.limit, |message| ParkedMessage::of(queue, &message)).await;
    let depth = link.depth(queue).await;
    let (messages, depth) = (messages.context("the broker")?, depth.context("the broker")?);
    if args.json {
        return output::json(&messages);
    }
    let rows: Vec<Vec<String>> = messages.iter().map(ParkedMessage::row).collect();
    output::table(&["CAUSE", "DETAIL", "PARKED", "FIRST SEEN", "TRIES", "BYTES", "KIND", "ID"], &rows)?;
    let of_all = depth.ready.max(u32::try_from(messages.len()).unwrap_or(u32::MAX));
    output::line(&format!("{} of {of_all} listed; by cause: {}", messages.len(), by_cause(&messages)))
}

fn by_cause(messages: &[ParkedMessage]) -> String {
    let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
    for message in messages {
        *causes.entry(message.cause).or_default() += 1;
    }
    let causes: Vec<String> = causes.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
    causes.join(", ")
}

impl ParkedMessage {
    fn of(queue: &str, message: &Incoming) -> Self {
        let text = std::str::from_utf8(&message.body).unwrap_or_default();
        let header = |name: &str| message.headers.get(name).cloned();
        Self {
            id: message.own_id().map(str::to_owned),
            kind: message.kind.clone().filter(|kind| is_kind(kind)),
            cause: parked_for(message, queue).as_str(),
            detail: parked_detail(message),
            attempt: message.attempt,
            parked_at: header(headers::PARKED_AT),
            first_seen: message.first_seen,
            bytes: Sealer::plain_len(text).unwrap_or(message.body.len()),
            replayed_by: header(headers::REPLAYED_BY),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.cause.to_owned(),
            output::or_dash(self.detail.as_deref()),
            output::or_dash(self.parked_at.as_deref()),
            output::moment(self.first_seen),
            self.attempt.to_string(),
            self.bytes.to_string(),
            output::or_dash(self.kind.as_deref()),
            output::or_dash(self.id.as_deref()),
        ]
    }
}

/// Whether this is a kind of message of the bridge or of the contract. Any other text may be
/// personal data.
fn is_kind(kind: &str) -> bool {
    let of_the_contract = kind.starts_with("crvs.nid.") && kind.len() <= 40;
    [RegistrationMessage::KIND, RequestMessage::KIND, OutcomeMessage::KIND].contains(&kind)
        || (of_the_contract && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '.'))
}
