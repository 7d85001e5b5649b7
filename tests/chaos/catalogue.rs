//! The catalogue: every scheduled fault with what it affects, its duration in milliseconds, and
//! what it does. To add a fault, add a row.
//!
//! Each lane is a sequence of faults, one after the other. All lanes run at the same time, so that
//! faults of different lanes overlap. Faults that must not overlap share a lane: two nodes of the
//! broker are never down at once, because two of three nodes are a majority.
//!
//! Invariant: a fault that delays a write ends well before the quarantine (30 s) does, because the
//! protocol cannot protect against a mutation that OpenCRVS applies later than that.

use std::ops::Range;
use std::time::Duration;

use nidbridge::sandbox::opencrvs::{Fault as CallFault, Generations, Service};
use rustix::process::Signal;

use super::actions::{self, break_connections, fail_calls, signal, stop_service};
use super::broker;
use super::client;
use super::faults::Affects::{self, Connections, Fixed, Node, Process, Processes};
use super::faults::{Fault, Target};
use super::harness::Mode;
use super::odd;
use super::options::Options;
use super::outage;
use super::rig::Rig;
use super::roles::{CONFIRMER, FRONT, ROLES, WORKER};

const BROKEN: &[Mode] = &[Mode::Cut, Mode::Blackhole, Mode::BlackholeOut, Mode::BlackholeIn];
const AT_ONCE: (u64, u64) = (0, 0);
/// Longer than lease and quarantine together.
const BEYOND_QUARANTINE: (u64, u64) = (35_000, 38_000);
/// Most of this is the time that a node needs to come back.
const NODE_RESTART: (u64, u64) = (20_000, 25_000);
const SERVICE_DOWN: (u64, u64) = (2_000, 5_000);

/// Faults that come one after the other.
pub struct Lane {
    pub times: Times,
    pub faults: Vec<Fault>,
}

pub enum Times {
    /// Again and again, in random order, with a pause of so many seconds between two faults.
    Pause(Range<u64>),
    /// Once, at a time between these shares of the run's length.
    Once(Range<f64>),
}

fn lane(pause_s: Range<u64>, faults: impl Into<Vec<Fault>>) -> Lane {
    Lane { times: Times::Pause(pause_s), faults: faults.into() }
}

fn fault<A>(name: &'static str, affects: Affects, lasts_ms: (u64, u64), action: &'static A) -> Fault
where
    A: AsyncFn(&Rig, Target, Duration) -> u64,
{
    Fault { name, affects, lasts_ms, action }
}

/// Broken connections: one row for each mode.
fn broken<A>(name: &'static str, roles: &'static [&'static str], action: &'static A) -> Vec<Fault>
where
    A: AsyncFn(&Rig, Target, Duration) -> u64,
{
    BROKEN.chunks(1).map(|mode| fault(name, Connections(roles, mode), AT_ONCE, action)).collect()
}

/// All lanes of a run.
pub fn lanes(nodes: usize, options: &Options) -> Vec<Lane> {
    let mut lanes = processes();
    lanes.extend(broker_and_ledger(nodes));
    lanes.extend(both_sides());
    // Without fronts, nginx has no upstream.
    lanes.push(lane(20..40, [fault("kill9_both_fronts", Processes(FRONT), AT_ONCE, &actions::kill_both)]));
    // nginx is killed with its workers, in the middle of their requests.
    lanes.push(lane(12..24, [fault("kill9_nginx", Fixed, (200, 700), &outage::kill_nginx)]));
    // Six registrations come in a second, so each is about one record in a hundred.
    let invented = fault("invented_record", Fixed, AT_ONCE, &odd::invent);
    let over_genuine = fault("invented_for_a_genuine_record", Fixed, AT_ONCE, &odd::usurp);
    lanes.push(lane(5..12, [invented, over_genuine]));
    if options.opencrvs.has_events() {
        let down = fault("country_config_down", Fixed, SERVICE_DOWN, &async |rig, _, lasts| {
            stop_service(rig, Service::CountryConfig, lasts).await
        });
        lanes.push(lane(8..16, [down]));
    }
    if options.has_client() {
        lanes.push(of_client());
    }
    if matches!(options.opencrvs, Generations::V2_0 | Generations::Mixed) {
        let upgrade = fault("upgrade", Fixed, SERVICE_DOWN, &client::upgrade);
        lanes.push(Lane { times: Times::Once(0.45..0.65), faults: vec![upgrade] });
    }
    lanes
}

/// Faults of the bridge's client in OpenCRVS.
fn of_client() -> Lane {
    let lasts = (2_000, 5_000);
    let faults = [
        fault("secret_rotation", Fixed, lasts, &client::rotate_secret),
        fault("secret_rotation_only", Fixed, lasts, &client::rotate_secret_only),
        fault("secret_rotation_with_next", Fixed, lasts, &client::rotate_to_next_secret),
        fault("client_tokens_die", Fixed, (1_000, 2_000), &client::revoke_tokens),
    ];
    lane(6..14, faults)
}

fn processes() -> Vec<Lane> {
    let of_role = |role| {
        [
            fault("kill9_{role}", Process(role), AT_ONCE, &async |rig, on, _| signal(rig, on, Signal::KILL)),
            fault("sigterm_{role}", Process(role), AT_ONCE, &async |rig, on, _| {
                signal(rig, on, Signal::TERM)
            }),
            // Longer than a lease, but much shorter than the quarantine.
            fault("sigstop_{role}", Process(role), (3_500, 9_000), &actions::freeze),
        ]
    };
    let mut lanes: Vec<Lane> = ROLES.map(|role| lane(6..14, of_role(role))).into();
    // The connections of a confirmer to the gateway are broken when it continues, as they would be
    // in production after so long. Otherwise a write that it was about to send could come later
    // than the quarantine.
    let name = "sigstop_{role}_beyond_quarantine";
    let freeze = |role| fault(name, Process(role), BEYOND_QUARANTINE, &actions::freeze_without_gateway);
    lanes.push(lane(3..9, [freeze(CONFIRMER), freeze(WORKER)]));
    lanes.push(lane(30..60, [freeze(FRONT)]));
    lanes
}

fn broker_and_ledger(nodes: usize) -> Vec<Lane> {
    let mut of_nodes = vec![
        fault("kill9_node", Node, NODE_RESTART, &broker::kill),
        fault("sigterm_node", Node, NODE_RESTART, &broker::terminate),
        fault("sigstop_node", Node, (5_000, 12_000), &broker::freeze),
    ];
    if nodes > 1 {
        of_nodes.push(fault("kill9_leader", Fixed, NODE_RESTART, &broker::kill_leader));
        of_nodes.push(fault("partition", Node, (9_000, 14_000), &broker::partition));
    }
    let limits = [
        fault("memory_alarm", Fixed, (3_000, 5_000), &broker::memory_alarm),
        fault("queue_full", Fixed, (3_000, 6_000), &broker::queue_full),
        fault("consumer_timeout", Fixed, (8_000, 9_000), &broker::consumer_timeout),
    ];
    let mut connections = broken("amqp_{mode}", &ROLES, &async |rig, on, lasts| {
        break_connections(&rig.process(on).broker, on.mode, lasts).await
    });
    connections.push(fault(
        "vendor_amqp_{mode}",
        Connections(&[], BROKEN),
        AT_ONCE,
        &async |rig, on, lasts| break_connections(&rig.vendor_proxy, on.mode, lasts).await,
    ));
    let mut ledger = broken("ledger_{mode}", &[WORKER, CONFIRMER], &async |rig, on, lasts| {
        break_connections(rig.process(on).ledger.as_ref().expect("a proxy"), on.mode, lasts).await
    });
    ledger.push(fault("ledger_crash", Fixed, (1_500, 4_000), &actions::crash_ledger));
    vec![lane(4..9, of_nodes), lane(12..22, limits), lane(5..12, connections), lane(8..16, ledger)]
}

/// Faults of OpenCRVS and of the ID system.
fn both_sides() -> Vec<Lane> {
    let mut gateway = broken("gateway_{mode}", &[CONFIRMER], &async |rig, on, lasts| {
        break_connections(rig.process(on).gateway.as_ref().expect("a proxy"), on.mode, lasts).await
    });
    gateway.extend([
        fault("gateway_down", Fixed, SERVICE_DOWN, &async |rig, _, lasts| {
            stop_service(rig, Service::Gateway, lasts).await
        }),
        // Every call fails before it has any effect.
        fault("gateway_errors", Fixed, (2_000, 4_000), &async |rig, _, lasts| {
            fail_calls(rig, [CallFault::http(503); 2], lasts).await
        }),
        // No call is answered, although every write is applied.
        fault("gateway_hangs", Fixed, (2_000, 4_000), &async |rig, _, lasts| {
            fail_calls(rig, [CallFault::HANG, CallFault::HANG_AFTER], lasts).await
        }),
    ]);
    let others = [
        fault("auth_down", Fixed, SERVICE_DOWN, &async |rig, _, lasts| {
            stop_service(rig, Service::Auth, lasts).await
        }),
        fault("vendor_silent", Fixed, (3_000, 8_000), &actions::silence_vendor),
        fault("vendor_kill", Fixed, (3_000, 8_000), &actions::kill_vendor),
    ];
    let rotation = fault("key_rotation", Fixed, AT_ONCE, &actions::rotate_key);
    let rotations =
        [0.2..0.4, 0.6..0.8].map(|between| Lane { times: Times::Once(between), faults: vec![rotation] });
    let mut lanes = vec![lane(5..12, gateway), lane(8..16, others)];
    lanes.extend(rotations);
    lanes
}
