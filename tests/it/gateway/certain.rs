//! Faults after which certainly nothing was written, permanent and transient.

use nidbridge::sandbox::opencrvs::{Calls, Fault};
use nidbridge::sandbox::population::Kind;

use super::{confirmed_once, confirms, not_written, standing, submitted, writes_begun};
use crate::harness::ledgers::Engine;
use crate::harness::world::World;
use crate::pipeline::people;
use crate::replies::alarmed;

const FOR_GOOD: [(Calls, Fault, &str); 20] = [
    (Calls::Confirm, Fault::Unauthorized, "token_refused"),
    (Calls::Confirm, Fault::AuthenticationFailed, "registrar_inactive"),
    (Calls::Confirm, Fault::NoScope, "record_refused"),
    (Calls::Confirm, Fault::OtherRecord, "record_refused"),
    (Calls::Confirm, Fault::WorkflowUnauthorized, "token_refused"),
    (Calls::Confirm, Fault::WorkflowForbidden, "token_refused"),
    (Calls::Confirm, Fault::ParseFailed, "gateway_contract"),
    (Calls::Confirm, Fault::ValidationFailed, "gateway_contract"),
    (Calls::Confirm, Fault::BadUserInput, "gateway_contract"),
    (Calls::Confirm, Fault::Http(401), "token_refused"),
    (Calls::Confirm, Fault::Http(403), "token_refused"),
    (Calls::Confirm, Fault::Http(400), "gateway_contract"),
    (Calls::Confirm, Fault::Http(413), "gateway_contract"),
    (Calls::Fetch, Fault::Unauthorized, "token_refused"),
    (Calls::Fetch, Fault::AuthenticationFailed, "registrar_inactive"),
    (Calls::Fetch, Fault::OtherRecord, "record_refused"),
    (Calls::Fetch, Fault::ParseFailed, "gateway_contract"),
    (Calls::Fetch, Fault::ValidationFailed, "gateway_contract"),
    (Calls::Fetch, Fault::BadUserInput, "gateway_contract"),
    (Calls::Fetch, Fault::Http(401), "token_refused"),
];

const FOR_NOW: [(Calls, Fault, &str); 5] = [
    (Calls::Confirm, Fault::Http(404), "gateway_unavailable"),
    (Calls::Confirm, Fault::UserManagementDown, "gateway_unavailable"),
    (Calls::Confirm, Fault::RateLimited, "gateway_unavailable"),
    (Calls::Confirm, Fault::Http(429), "gateway_unavailable"),
    (Calls::Confirm, Fault::Http(402), "gateway_unavailable"),
];

/// A fault of a read is never more than a delay.
const UNREAD: [Fault; 12] = [
    Fault::UserManagementDown,
    Fault::RateLimited,
    Fault::FailsBefore,
    Fault::WorkflowUnreachable,
    Fault::Http(429),
    Fault::Http(500),
    Fault::Http(502),
    Fault::Http(503),
    Fault::NotJson,
    Fault::Hang,
    Fault::CutBefore,
    Fault::CutAfter,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_fault_is_parked_with_its_cause_and_never_written() {
    let mut world = World::with(Engine::Sqlite, &[("RETRY_STEPS", "50ms")]).await;
    for ((calls, fault, cause), birth) in FOR_GOOD.into_iter().zip(people(Kind::Birth, FOR_GOOD.len(), 51)) {
        let what = format!("{calls:?} {fault:?}");
        // A token that auth accepts is tried again before it counts as refused.
        let refused = matches!(fault, Fault::Unauthorized | Fault::Http(401 | 403));
        let times = if refused { 7 } else { 1 };
        world.opencrvs.faults().next(calls, times, fault);
        submitted(&world, &birth).await;
        let standing = standing(&world, &birth.record, "parked", &what).await;
        assert_eq!(standing.cause.as_deref(), Some(cause), "{what}");
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
    let mut world = World::new(Engine::Sqlite).await;
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
