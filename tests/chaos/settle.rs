//! Waits until every registration has ended.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nidbridge::domain::State;
use nidbridge::ledger::AttemptSummary;

use super::accounts::{Accounts, Evidence};
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
}

impl UnderWay {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Waits until every record has ended. After the patience, what has not ended is counted as wrong.
pub async fn settled(stage: &Rig, patience: Duration) -> (bool, Accounts) {
    let begun = Instant::now();
    let (mut last, mut since) = (None, Instant::now());
    let mut told = 0;
    loop {
        let (mut accounts, under_way) = look(stage).await;
        if last.as_ref() != Some(&accounts) {
            (last, since) = (Some(accounts.clone()), Instant::now());
        }
        // Random faults of the gateway stop when most records are confirmed. They then have
        // affected many records, and do not prevent the last ones from settling.
        if accounts.confirmed * 10 > accounts.confirmed_expected * 8 || begun.elapsed() > patience / 3 {
            stage.opencrvs.faults().clear();
        }
        let nothing = under_way.as_ref().is_some_and(UnderWay::is_nothing);
        if nothing && since.elapsed() >= REST {
            return (true, accounts);
        }
        if begun.elapsed() > patience {
            eprintln!("chaos: not at an end: {under_way:?}");
            keep_what_the_broker_says(stage).await;
            for id in under_way.unwrap_or_default().open {
                accounts.wrong(&id, "it did not end within the patience");
            }
            return (false, accounts);
        }
        if begun.elapsed().as_secs() >= told {
            told += 10;
            operator::replace_tokens(stage).await;
            operator::resume(stage).await;
            let (open, queues, spooled) = match &under_way {
                Some(now) => (now.open.len(), now.queues.join(" "), now.spooled),
                None => (0, "unknown".to_owned(), 0),
            };
            eprintln!(
                "chaos: {:>3.0} s after the faults: {} of {} confirmed, {open} open, {spooled} spooled, queues: {queues}",
                begun.elapsed().as_secs_f64(),
                accounts.confirmed,
                accounts.confirmed_expected
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The current accounts, and the work that has not ended; `None` if the broker's management API
/// does not answer.
async fn look(stage: &Rig) -> (Accounts, Option<UnderWay>) {
    let summaries: HashMap<String, AttemptSummary> = stage
        .ledger
        .summaries()
        .await
        .unwrap_or_default()
        .into_iter()
        .map(|summary| (summary.record.to_string(), summary))
        .collect();
    let (records, nid) = (stage.opencrvs.state(), stage.nid.state());
    let (people, vendor) = (&stage.people, &stage.nid.settings());
    let somebody = stage.id_owner.as_str();
    let outages = &stage.outages;
    let evidence =
        Evidence { records: &records, nid: &nid, summaries: &summaries, people, vendor, somebody, outages };
    let accounts = Accounts::of(&evidence);
    let open = summaries.iter().filter(|(_, one)| one.state.is_open()).map(|(id, _)| id.clone()).collect();
    let parked = summaries.values().filter(|one| one.state == State::Parked).count();
    let under_way = queues(stage).await;
    let under_way = under_way.map(|queues| UnderWay { open, queues, spooled: spooled(stage), parked });
    (accounts, under_way)
}

async fn queues(stage: &Rig) -> Option<Vec<String>> {
    let text = stage.manage(reqwest::Method::GET, "/queues?columns=name,messages", "").await?;
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).ok()?;
    let filled = |queue: &serde_json::Value| {
        let (name, messages) = (queue["name"].as_str()?, queue["messages"].as_u64()?);
        let kept = name.ends_with(".parked") || name == "unrouted";
        (messages > 0 && !kept).then(|| format!("{name}={messages}"))
    };
    Some(all.iter().filter_map(filled).collect())
}

/// Stores what the broker reports about its queues and connections, for later analysis.
async fn keep_what_the_broker_says(stage: &Rig) {
    for what in ["queues", "channels", "consumers", "connections"] {
        let said = stage.manage(reqwest::Method::GET, &format!("/{what}"), "").await;
        let file = stage.dir.join(format!("at-the-end-{what}.json"));
        std::fs::write(file, said.unwrap_or_default()).expect("a file in the run's directory");
    }
}

fn spooled(stage: &Rig) -> usize {
    let directories =
        stage.of("front").into_iter().map(|role| &role.process.recipe.environment["FRONT_SPOOL"]);
    let files = directories.flat_map(std::fs::read_dir).flatten().flatten();
    files.filter(|entry| entry.file_name().to_string_lossy().ends_with(".registration")).count()
}
