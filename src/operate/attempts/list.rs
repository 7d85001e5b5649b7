//! `nidbridge attempts list`.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::ListAttemptsArgs;
use crate::domain::Cause;
use crate::ledger::{AttemptGroup, ListedAttempt, Recorded, Selection};
use crate::operate::output;
use crate::operate::session::Session;
use crate::roles::Failure;

pub(super) async fn run(session: &mut Session, args: &ListAttemptsArgs) -> Result<(), Failure> {
    let ledger = session.ledger("attempts").await?;
    let now = ledger.now().await?;
    let selection = selection(args, now);
    if args.group {
        print_groups(&ledger.group_attempts(&selection).await?, args.json, now)?;
        return print_client_faults(&ledger.open_configuration_alerts().await?, args.json);
    }
    // Fetching one more than requested shows whether there are more.
    let mut found = ledger.list_attempts(&selection, args.limit.saturating_add(1)).await?;
    let more = found.len() > args.limit;
    found.truncate(args.limit);
    print_list(&found, more, args.json, now)?;
    print_client_faults(&ledger.open_configuration_alerts().await?, args.json)
}

/// Prints why the bridge's client cannot answer. The attempts that wait for it have no cause in the
/// list, because the fault is one of the configuration.
fn print_client_faults(faults: &[(Cause, Option<String>)], json: bool) -> Result<(), Failure> {
    if json {
        return Ok(());
    }
    for (cause, scope) in faults {
        let scope = scope.as_deref().map_or_else(String::new, |scope| format!(" ({})", output::clean(scope)));
        let advice = cause.advice();
        output::line(&format!("\n{}{scope}: {}\n{}", cause.as_str(), advice.means, advice.action))?;
    }
    Ok(())
}

fn selection(args: &ListAttemptsArgs, now: Timestamp) -> Selection {
    let expiring_by = args.expiring_within.map(|within| {
        let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
        now.saturating_add(within).unwrap_or(Timestamp::MAX)
    });
    Selection { states: args.state.clone(), cause: args.cause, office: args.office.clone(), expiring_by }
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
    /// The cause of the state, or else of the last failed try.
    cause: Option<&'a str>,
    /// Failed tries since the attempt last moved, if there were several in a row.
    failures: Option<u64>,
    failing_since: Option<Timestamp>,
    next_try_at: Option<Timestamp>,
    accepted_at: Timestamp,
    /// `None` without a token.
    token_hours_left: Option<f64>,
}

fn print_list(found: &[ListedAttempt], more: bool, json: bool, now: Timestamp) -> Result<(), Failure> {
    if json {
        let attempts = found.iter().map(|one| Row {
            attempt: one.attempt.to_string(),
            record: one.record.as_str(),
            tracking_id: one.tracking_id.as_str(),
            kind: one.kind.as_str(),
            office: one.office.as_deref(),
            state: one.state.as_str(),
            cause: cause_of(one),
            failures: one.failing.as_ref().map(|failing| failing.count),
            failing_since: one.failing.as_ref().map(|failing| failing.since),
            next_try_at: one.failing.as_ref().and_then(|failing| failing.next_try_at),
            accepted_at: one.accepted_at,
            token_hours_left: output::hours_left(one.token_expires_at, now),
        });
        return output::json(&List { attempts: attempts.collect(), more });
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            vec![
                output::left(one.token_expires_at, now),
                one.state.as_str().to_owned(),
                output::or_dash(cause_of(one)),
                one.failing.as_ref().map_or_else(|| "-".to_owned(), |failing| failing.count.to_string()),
                next_try(one, now),
                output::span(one.accepted_at, now),
                one.tracking_id.to_string(),
                one.kind.as_str().to_owned(),
                output::or_dash(one.office.as_deref()),
                one.attempt.to_string(),
            ]
        })
        .collect();
    let heading = [
        "TOKEN LEFT",
        "STATE",
        "CAUSE",
        "TRIES",
        "NEXT TRY",
        "AGE",
        "TRACKING",
        "EVENT",
        "OFFICE",
        "ATTEMPT",
    ];
    output::table(&heading, &rows)?;
    if more { output::line(&format!("… there are more: raise --limit ({})", found.len())) } else { Ok(()) }
}

/// The cause of the state, or else of the last failed try.
fn cause_of(one: &ListedAttempt) -> Option<&str> {
    let failed = one.failing.as_ref().map(|failing| &failing.cause);
    one.cause.as_ref().or(failed).map(Recorded::<Cause>::as_str)
}

fn next_try(one: &ListedAttempt, now: Timestamp) -> String {
    let next = one.failing.as_ref().and_then(|failing| failing.next_try_at);
    next.map_or_else(|| "-".to_owned(), |at| if at <= now { "now".to_owned() } else { output::span(now, at) })
}

#[derive(Serialize)]
struct CountedGroup<'a> {
    state: &'static str,
    cause: Option<&'a str>,
    count: u64,
    oldest: Timestamp,
    /// `None` if no attempt of the group has a token.
    least_token_hours_left: Option<f64>,
}

fn print_groups(groups: &[AttemptGroup], json: bool, now: Timestamp) -> Result<(), Failure> {
    if json {
        let counted = groups.iter().map(|group| CountedGroup {
            state: group.state.as_str(),
            cause: group.cause.as_ref().map(Recorded::<Cause>::as_str),
            count: group.count,
            oldest: group.oldest,
            least_token_hours_left: output::hours_left(group.first_expiry, now),
        });
        return output::json(&counted.collect::<Vec<_>>());
    }
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            vec![
                group.count.to_string(),
                group.state.as_str().to_owned(),
                output::or_dash(group.cause.as_ref().map(Recorded::<Cause>::as_str)),
                output::left(group.first_expiry, now),
                output::span(group.oldest, now),
            ]
        })
        .collect();
    output::table(&["COUNT", "STATE", "CAUSE", "LEAST TOKEN LEFT", "OLDEST"], &rows)
}
