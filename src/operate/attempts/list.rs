//! `nidbridge attempts list`.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::ListArgs;
use crate::config::Config;
use crate::ledger::{Group, Ledger, Listed, Selection};
use crate::operate::output;
use crate::roles::{Failure, parts};

pub(super) async fn run(config: &Config, args: &ListArgs) -> Result<(), Failure> {
    let sealer = parts::sealer(config)?;
    let ledger = parts::operators_ledger(config, "attempts", &sealer).await?;
    let done = list(&ledger, args).await;
    ledger.close().await;
    done
}

async fn list(ledger: &Ledger, args: &ListArgs) -> Result<(), Failure> {
    let now = ledger.now().await.map_err(parts::ledger_away)?;
    let expiring_by = args.expiring_within.map(|within| {
        let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
        now.saturating_add(within).unwrap_or(Timestamp::MAX)
    });
    let selection =
        Selection { states: args.state.clone(), cause: args.cause, office: args.office.clone(), expiring_by };
    if args.group {
        let groups = ledger.grouped(&selection).await.map_err(parts::ledger_away)?;
        return print_groups(&groups, args.json, now);
    }
    // One more than asked for tells whether there are more.
    let mut found =
        ledger.listed(&selection, args.limit.saturating_add(1)).await.map_err(parts::ledger_away)?;
    let more = found.len() > args.limit;
    found.truncate(args.limit);
    print_list(&found, more, args.json, now)
}

#[derive(Serialize)]
struct List<'a> {
    attempts: Vec<Row<'a>>,
    more: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    attempt: String,
    record: &'a str,
    tracking_id: &'a str,
    kind: &'a str,
    office: Option<&'a str>,
    state: &'static str,
    cause: Option<&'a str>,
    accepted_at: Timestamp,
    token_hours_left: f64,
}

fn print_list(found: &[Listed], more: bool, json: bool, now: Timestamp) -> Result<(), Failure> {
    if json {
        let attempts = found.iter().map(|one| Row {
            attempt: one.attempt.to_string(),
            record: one.record.as_str(),
            tracking_id: one.tracking_id.as_str(),
            kind: &one.kind,
            office: one.office.as_deref(),
            state: one.state.as_str(),
            cause: one.cause.as_deref(),
            accepted_at: one.accepted_at,
            token_hours_left: output::hours(one.token_expires_at.duration_since(now)),
        });
        return output::json(&List { attempts: attempts.collect(), more });
    }
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            vec![
                output::left(one.token_expires_at, now),
                one.state.as_str().to_owned(),
                dash(&one.cause),
                output::span(one.accepted_at, now),
                one.tracking_id.to_string(),
                one.kind.clone(),
                dash(&one.office),
                one.attempt.to_string(),
            ]
        })
        .collect();
    let heading = ["TOKEN LEFT", "STATE", "CAUSE", "AGE", "TRACKING", "EVENT", "OFFICE", "ATTEMPT"];
    output::table(&heading, &rows)?;
    if more { output::line(&format!("… and more: --limit is {}", found.len())) } else { Ok(()) }
}

#[derive(Serialize)]
struct Counted<'a> {
    state: &'static str,
    cause: Option<&'a str>,
    count: u64,
    oldest: Timestamp,
    least_token_hours_left: f64,
}

fn print_groups(groups: &[Group], json: bool, now: Timestamp) -> Result<(), Failure> {
    if json {
        let counted = groups.iter().map(|group| Counted {
            state: group.state.as_str(),
            cause: group.cause.as_deref(),
            count: group.count,
            oldest: group.oldest,
            least_token_hours_left: output::hours(group.first_expiry.duration_since(now)),
        });
        return output::json(&counted.collect::<Vec<_>>());
    }
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            vec![
                group.count.to_string(),
                group.state.as_str().to_owned(),
                group.cause.clone().unwrap_or_else(|| "-".to_owned()),
                output::left(group.first_expiry, now),
                output::span(group.oldest, now),
            ]
        })
        .collect();
    output::table(&["COUNT", "STATE", "CAUSE", "LEAST TOKEN LEFT", "OLDEST"], &rows)
}
