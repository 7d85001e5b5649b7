//! Waits until every registration has ended.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nidbridge::domain::{Cause, State};
use nidbridge::ledger::AttemptSummary;
use nidbridge::sandbox::accounts::Totals;

use super::accounts::{Accounts, Evidence};
use super::arrivals;
use super::odd;
use super::operator;
use super::rig::Rig;

/// Time without any change after which the run has settled.
const REST: Duration = Duration::from_secs(3);

/// The work that has not ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct UnderWay {
    /// Records whose newest attempt is open in the ledger.
    open: Vec<String>,
    /// Queues with messages, except parking queues.
    queues: Vec<String>,
    /// Number of files in the spools.
    spooled: usize,
    /// Number of parked records that an operator could resume.
    parked: usize,
    /// Number of actions that the bridge has yet to find.
    unheard: u64,
}

impl UnderWay {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Waits until every record has ended. After the patience, what has not ended is counted as wrong.
pub async fn settled(rig: &Rig, patience: Duration) -> (bool, Accounts) {
    let begun = Instant::now();
    let (mut last, mut since) = (None, Instant::now());
    let mut told = 0;
    loop {
        let (mut accounts, under_way) = look(rig).await;
        if last.as_ref() != Some(&accounts) {
            (last, since) = (Some(accounts.clone()), Instant::now());
        }
        // Random faults of the gateway stop when most records are confirmed. They then have
        // affected many records, and do not prevent the last ones from settling.
        let Totals { confirmed, confirmed_expected, .. } = accounts.totals;
        if confirmed * 10 > confirmed_expected * 8 || begun.elapsed() > patience / 3 {
            rig.opencrvs.faults().clear();
        }
        let nothing = under_way.as_ref().is_some_and(UnderWay::is_nothing);
        if nothing && since.elapsed() >= REST {
            return (true, accounts);
        }
        if begun.elapsed() > patience {
            eprintln!("chaos: not at an end: {under_way:?}");
            keep_what_the_broker_says(rig).await;
            for id in under_way.unwrap_or_default().open {
                accounts.wrong(&id, "it did not end within the patience");
            }
            return (false, accounts);
        }
        if begun.elapsed().as_secs() >= told {
            told += 10;
            operator::replace_tokens(rig).await;
            operator::resume(rig).await;
            let now = match &under_way {
                Some(UnderWay { open, queues, spooled, unheard, .. }) => {
                    let open = open.len();
                    format!("{open} open, {unheard} unheard, {spooled} spooled, queues: {}", queues.join(" "))
                }
                None => "the broker's management API does not answer".to_owned(),
            };
            let seconds = begun.elapsed().as_secs_f64();
            eprintln!(
                "chaos: {seconds:>3.0} s after the faults: {confirmed} of {confirmed_expected} confirmed, {now}"
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The current accounts, and the work that has not ended; `None` if the broker's management API
/// does not answer.
async fn look(rig: &Rig) -> (Accounts, Option<UnderWay>) {
    let summaries: HashMap<String, AttemptSummary> = rig
        .ledger
        .summaries()
        .await
        .unwrap_or_default()
        .into_iter()
        .map(|summary| (summary.record.to_string(), summary))
        .collect();
    let (records, nid) = (rig.opencrvs.state(), rig.nid.state());
    let vendor = &rig.nid.settings();
    let attempts = &arrivals::attempts(rig).await.unwrap_or_default();
    let accounts = Accounts::of(&Evidence {
        rig,
        records: &records,
        nid: &nid,
        summaries: &summaries,
        attempts,
        vendor,
    });
    let open = summaries.iter().filter(|(_, one)| one.state.is_open()).map(|(id, _)| id.clone()).collect();
    // An operator resumes neither an invented record nor an unfit one.
    let rests = |id: &String, one: &AttemptSummary| {
        one.state != State::Parked || rig.invented.has(id) || odd::stopped_by(one, Cause::Unfit)
    };
    let parked = summaries.iter().filter(|(id, one)| !rests(id, one)).count();
    let under_way = queues(rig).await;
    let unheard = if rig.client.is_some() { accounts.unheard } else { 0 };
    let under_way = under_way.map(|queues| UnderWay { open, queues, spooled: spooled(rig), parked, unheard });
    (accounts, under_way)
}

async fn queues(rig: &Rig) -> Option<Vec<String>> {
    let text = rig.manage(reqwest::Method::GET, "/queues?columns=name,messages", "").await?;
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).ok()?;
    let filled = |queue: &serde_json::Value| {
        let (name, messages) = (queue["name"].as_str()?, queue["messages"].as_u64()?);
        // The deployment queue always keeps one message, and a process that is killed while it
        // waits for its lock leaves a token. What was sent has a copy.
        let kept = name.ends_with(".parked")
            || name.ends_with(".refused")
            || name.ends_with(".sent")
            || ["unrouted", "nidbridge.deployment", "nidbridge.deployment.turn"].contains(&name);
        (messages > 0 && !kept).then(|| format!("{name}={messages}"))
    };
    Some(all.iter().filter_map(filled).collect())
}

/// Stores what the broker reports about its queues and connections, for later analysis.
async fn keep_what_the_broker_says(rig: &Rig) {
    for what in ["queues", "channels", "consumers", "connections"] {
        let said = rig.manage(reqwest::Method::GET, &format!("/{what}"), "").await;
        let file = rig.dir.join(format!("at-the-end-{what}.json"));
        std::fs::write(file, said.unwrap_or_default()).expect("a file in the run's directory");
    }
}

fn spooled(rig: &Rig) -> usize {
    let directories = rig.of("front").into_iter().map(|role| &role.process.recipe.environment["FRONT_SPOOL"]);
    let files = directories.flat_map(std::fs::read_dir).flatten().flatten();
    files.filter(|entry| entry.file_name().to_string_lossy().ends_with(".registration")).count()
}
