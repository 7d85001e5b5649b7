//! Faults, permanent and transient, after which it is certain that nothing was written.

use nidbridge::sandbox::opencrvs::{Calls, Fault};
use nidbridge::sandbox::population::Kind;

use super::{confirmed_once, confirms, not_written, standing, submitted, writes_begun};
use crate::harness::ledgers::Engine;
use crate::harness::world::World;
use crate::pipeline::people;
use crate::replies::alarmed;

const FOR_GOOD: [(Calls, Fault, &str); 20] = [
    (Calls::Confirm, Fault::UNAUTHORIZED, "token_refused"),
    (Calls::Confirm, Fault::AUTHENTICATION_FAILED, "registrar_inactive"),
    (Calls::Confirm, Fault::NO_SCOPE, "record_refused"),
    (Calls::Confirm, Fault::OTHER_RECORD, "record_refused"),
    (Calls::Confirm, Fault::WORKFLOW_UNAUTHORIZED, "token_refused"),
    (Calls::Confirm, Fault::WORKFLOW_FORBIDDEN, "token_refused"),
    (Calls::Confirm, Fault::PARSE_FAILED, "gateway_contract"),
    (Calls::Confirm, Fault::VALIDATION_FAILED, "gateway_contract"),
    (Calls::Confirm, Fault::BAD_USER_INPUT, "gateway_contract"),
    (Calls::Confirm, Fault::http(401), "token_refused"),
    (Calls::Confirm, Fault::http(403), "token_refused"),
    (Calls::Confirm, Fault::http(400), "gateway_contract"),
    (Calls::Confirm, Fault::http(413), "gateway_contract"),
    (Calls::Fetch, Fault::UNAUTHORIZED, "token_refused"),
    (Calls::Fetch, Fault::AUTHENTICATION_FAILED, "registrar_inactive"),
    (Calls::Fetch, Fault::OTHER_RECORD, "record_refused"),
    (Calls::Fetch, Fault::PARSE_FAILED, "gateway_contract"),
    (Calls::Fetch, Fault::VALIDATION_FAILED, "gateway_contract"),
    (Calls::Fetch, Fault::BAD_USER_INPUT, "gateway_contract"),
    (Calls::Fetch, Fault::http(401), "token_refused"),
];

const FOR_NOW: [(Calls, Fault, &str); 5] = [
    (Calls::Confirm, Fault::http(404), "gateway_unavailable"),
    (Calls::Confirm, Fault::USER_MANAGEMENT_DOWN, "gateway_unavailable"),
    (Calls::Confirm, Fault::RATE_LIMITED, "gateway_unavailable"),
    (Calls::Confirm, Fault::http(429), "gateway_unavailable"),
    (Calls::Confirm, Fault::http(402), "gateway_unavailable"),
];

/// A fault of a read is never more than a delay.
const UNREAD: [Fault; 12] = [
    Fault::USER_MANAGEMENT_DOWN,
    Fault::RATE_LIMITED,
    Fault::FAILS_BEFORE,
    Fault::WORKFLOW_UNREACHABLE,
    Fault::http(429),
    Fault::http(500),
    Fault::http(502),
    Fault::http(503),
    Fault::NOT_JSON,
    Fault::HANG,
    Fault::CUT_BEFORE,
    Fault::CUT_AFTER,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_fault_is_parked_with_its_cause_and_never_written() {
    let mut world = World::with(Engine::Sqlite, &[("RETRY_STEPS", "50ms")]).await;
    for ((calls, fault, cause), birth) in FOR_GOOD.into_iter().zip(people(Kind::Birth, FOR_GOOD.len(), 51)) {
        let what = format!("{calls:?} {fault:?}");
        // A token that auth accepts is tried again before it counts as refused.
        let refused = [Fault::UNAUTHORIZED, Fault::http(401), Fault::http(403)].contains(&fault);
        let times = if refused { 7 } else { 1 };
        world.opencrvs.faults().next(calls, times, fault);
        submitted(&world, &birth).await;
        let standing = standing(&world, &birth.record, "parked", &what).await;
        assert_eq!(standing.cause.map(|found| found.as_str().to_owned()).as_deref(), Some(cause), "{what}");
        assert_eq!(confirms(&world, &birth.record), 0, "{what}");
        let begun = times * usize::from(calls == Calls::Confirm);
        assert_eq!(writes_begun(&world, &birth.record).await, begun, "{what}");
        assert_eq!(not_written(&world, &birth.record).await, vec![cause; begun], "{what}");
    }
    for cause in ["token_refused", "registrar_inactive", "record_refused", "gateway_contract"] {
        let times = FOR_GOOD.iter().filter(|row| row.2 == cause).count();
        alarmed(&world, "confirmer", cause, f64::from(u32::try_from(times).unwrap())).await;
    }
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_fault_is_retried_and_written_once() {
    let mut world = World::checked(Engine::Sqlite, &[]).await;
    for ((calls, fault, cause), birth) in FOR_NOW.into_iter().zip(people(Kind::Birth, FOR_NOW.len(), 52)) {
        let what = format!("{calls:?} {fault:?}");
        world.opencrvs.faults().next(calls, 2, fault);
        submitted(&world, &birth).await;
        confirmed_once(&world, &birth.record, &what).await;
        assert_eq!(writes_begun(&world, &birth.record).await, 3, "{what}");
        assert_eq!(not_written(&world, &birth.record).await, [cause, cause], "{what}");
    }
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_read_again_before_anything_is_written() {
    let mut world = World::new(Engine::Sqlite).await;
    for (fault, birth) in UNREAD.into_iter().zip(people(Kind::Birth, UNREAD.len(), 53)) {
        let what = format!("Fetch {fault:?}");
        world.opencrvs.faults().next(Calls::Fetch, 1, fault);
        submitted(&world, &birth).await;
        confirmed_once(&world, &birth.record, &what).await;
        assert_eq!(writes_begun(&world, &birth.record).await, 1, "{what}");
    }
    let delayed = world.metric("confirmer", "nidbridge_retries_total", "cause=\"gateway_unavailable\"");
    assert!(delayed >= f64::from(u32::try_from(UNREAD.len()).unwrap()), "{delayed}");
    world.assert_all_run();
}
