//! Tests that every metric appears under the name that it is declared with.

use super::*;
use crate::domain::{Cause, EventKind, State};

#[test]
#[expect(clippy::too_many_lines, reason = "a table of metrics")]
fn every_name_is_shown_as_it_is_written_down() {
    let metrics = Metrics::new();
    metrics.front_request("birth", "accepted");
    metrics.front_seconds(0.1);
    metrics.stage_processed("record", "done", 0.1);
    metrics.in_flight("record", 3);
    metrics.published("outcomes", "confirmed", 0.01);
    metrics.parked("record", Cause::Malformed.as_str());
    metrics.delayed("record", Cause::LedgerUnavailable.as_str());
    metrics.confirmed("confirmed");
    metrics.end_to_end(3.0);
    metrics.broker_connected("bridge", true);
    metrics.breaker("gateway", 1);
    metrics.sweep("done");
    metrics.swept(State::Requested);
    metrics.erased();
    metrics.token("renewed");
    metrics.reconnected("bridge");
    metrics.unsettled("record");
    metrics.requested(&EventKind::Birth);
    metrics.replied("issued");
    metrics.alarm(Cause::OrphanId);
    metrics.alert("taken");
    metrics.alerts_given_up(2);
    metrics.passed("answered");
    metrics.waited("answered");
    metrics.waiting(2);
    metrics.passing(3);
    metrics.passing(-1);
    metrics.spooled();
    metrics.spool_holds(2, 9_000);
    let text = metrics.encode();
    for line in [
        "nidbridge_received_total{event=\"birth\",outcome=\"accepted\"} 1",
        "nidbridge_http_request_duration_seconds_count 1",
        "nidbridge_stage_processed_total{stage=\"record\",outcome=\"done\"} 1",
        "nidbridge_stage_duration_seconds_count{stage=\"record\"} 1",
        "nidbridge_inflight{stage=\"record\"} 3",
        "nidbridge_published_total{exchange=\"outcomes\",outcome=\"confirmed\"} 1",
        "nidbridge_publish_confirm_seconds_count{exchange=\"outcomes\"} 1",
        "nidbridge_dead_lettered_total{stage=\"record\",cause=\"malformed\"} 1",
        "nidbridge_retries_total{stage=\"record\",cause=\"ledger_unavailable\"} 1",
        "nidbridge_confirm_total{outcome=\"confirmed\"} 1",
        "nidbridge_end_to_end_seconds_bucket{le=\"5.0\"} 1",
        "nidbridge_broker_connected{link=\"bridge\"} 1",
        "nidbridge_breaker_state{dependency=\"gateway\"} 1",
        "nidbridge_breaker_opened_total{dependency=\"gateway\"} 0",
        "nidbridge_sweeps_total{outcome=\"done\"} 1",
        "nidbridge_swept_total{state=\"requested\"} 1",
        "nidbridge_erased_total 1",
        "nidbridge_tokens_total{outcome=\"renewed\"} 1",
        "nidbridge_broker_reconnects_total{link=\"bridge\"} 1",
        "nidbridge_unsettled_total{stage=\"record\"} 1",
        "nidbridge_requests_total{event=\"birth\"} 1",
        "nidbridge_replies_total{status=\"issued\"} 1",
        "nidbridge_alarms_total{cause=\"orphan_id\"} 1",
        "nidbridge_alerts_total{outcome=\"taken\"} 1",
        "nidbridge_alerts_total{outcome=\"given_up\"} 2",
        "nidbridge_waited_total{outcome=\"answered\"} 1",
        "nidbridge_waiting 2",
        "nidbridge_passed_total{outcome=\"answered\"} 1",
        "nidbridge_passing 2",
        "nidbridge_spooled_total 1",
        "nidbridge_spool_files 2",
        "nidbridge_spool_bytes 9000",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.contains("nidbridge_build_info{version="), "{text}");
    assert!(
        text.contains(
            "# HELP nidbridge_breaker_state Circuit breaker state: 0 closed, 1 half-open, 2 open.\n"
        ),
        "{text}"
    );
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        assert!(name.starts_with("nidbridge_"), "{name}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}
