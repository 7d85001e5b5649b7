//! Waiting until everything has come to rest.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nidbridge::ledger::Standing;

use super::accounts::{self, Accounts, Evidence};
use super::stage::Stage;

/// How long everything must have been at rest.
const REST: Duration = Duration::from_secs(3);

/// Waits until every record has its end, or nothing is under way any more, or the patience is over.
pub async fn settled(stage: &Stage, patience: Duration) -> (bool, Accounts) {
    let begun = Instant::now();
    let (mut last, mut since) = (None, Instant::now());
    loop {
        let (accounts, under_way) = look(stage).await;
        if last.as_ref() != Some(&accounts) {
            (last, since) = (Some(accounts.clone()), Instant::now());
        }
        let at_rest = under_way == Some(0) && since.elapsed() >= REST;
        if at_rest || begun.elapsed() > patience {
            return (at_rest, accounts);
        }
        if begun.elapsed().as_secs().is_multiple_of(10) {
            eprintln!(
                "chaos: {:>3.0} s after the faults: {} of {} confirmed, {under_way:?} under way",
                begun.elapsed().as_secs_f64(),
                accounts.confirmed,
                accounts.confirmed_expected
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The accounts of now, and how many attempts are under way: in the ledger, the queues and the spools.
async fn look(stage: &Stage) -> (Accounts, Option<u64>) {
    let standings: HashMap<String, Standing> = stage
        .ledger
        .standings()
        .await
        .unwrap_or_default()
        .into_iter()
        .map(|standing| (standing.record.to_string(), standing))
        .collect();
    let (book, nid) = (stage.opencrvs.state(), stage.nid.state());
    let accounts = Accounts::of(&Evidence { book: &book, nid: &nid, standings: &standings });
    let open = u64::try_from(accounts::open(&standings).len()).unwrap_or(u64::MAX);
    let under_way = queued(stage).await.map(|queued| queued + open + spooled(stage));
    (accounts, under_way)
}

/// Messages in all queues but those that keep what an operator is to look at.
async fn queued(stage: &Stage) -> Option<u64> {
    let path = "/queues?columns=name,messages";
    let text = stage.manage(reqwest::Method::GET, path, "").await?;
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).ok()?;
    let counted = all.iter().filter(|queue| {
        queue["name"].as_str().is_some_and(|name| !name.ends_with(".parked") && name != "unrouted")
    });
    Some(counted.filter_map(|queue| queue["messages"].as_u64()).sum())
}

fn spooled(stage: &Stage) -> u64 {
    let directories =
        stage.of("front").into_iter().map(|role| &role.process.recipe.environment["FRONT_SPOOL"]);
    let files = directories.flat_map(std::fs::read_dir).flatten().flatten();
    let waiting = files.filter(|entry| entry.file_name().to_string_lossy().ends_with(".registration"));
    u64::try_from(waiting.count()).unwrap_or(u64::MAX)
}
