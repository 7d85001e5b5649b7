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

use futures_util::FutureExt as _;
use nidbridge::sandbox::opencrvs::{Fault as CallFault, Generations, Service};
use rustix::process::Signal;
use tokio::time::sleep;

use super::faults::{Affects, Fault, Play};
use super::harness::Mode;
use super::roles::{CONFIRMER, FRONT, ROLES, WORKER};
use super::{actions, broker, outage};

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

fn fault(name: &'static str, affects: Affects, lasts_ms: (u64, u64), play: Play) -> Fault {
    Fault { name, affects, lasts_ms, play }
}

/// All lanes of a run.
pub fn lanes(nodes: usize, generations: Generations) -> Vec<Lane> {
    let mut lanes = processes();
    lanes.extend(broker_lanes(nodes));
    lanes.push(ledger());
    lanes.extend(both_sides());
    lanes.extend(proxies_of_fronts());
    if generations != Generations::Fhir {
        let down = fault("country_config_down", Affects::Fixed, SERVICE_DOWN, |rig, _, lasts| {
            actions::stop_service(rig, Service::CountryConfig, lasts).boxed_local()
        });
        lanes.push(lane(8..16, [down]));
    }
    lanes
}

fn processes() -> Vec<Lane> {
    let mut lanes = Vec::new();
    for role in ROLES {
        let one = Affects::Process(role);
        lanes.push(lane(
            6..14,
            [
                fault("kill9_{role}", one, AT_ONCE, |rig, target, _| {
                    actions::signal(rig, target, Signal::KILL).boxed_local()
                }),
                fault("sigterm_{role}", one, AT_ONCE, |rig, target, _| {
                    actions::signal(rig, target, Signal::TERM).boxed_local()
                }),
                // Longer than a lease, but much shorter than the quarantine.
                fault("sigstop_{role}", one, (3_500, 9_000), |rig, target, lasts| {
                    actions::freeze(rig.process(target), lasts).boxed_local()
                }),
            ],
        ));
    }
    // The connections of a confirmer to the gateway are broken when it continues, as they would be
    // in production after so long. Otherwise a write that it was about to send could come later
    // than the quarantine.
    let freeze = |role| {
        let one = Affects::Process(role);
        fault("sigstop_{role}_beyond_quarantine", one, BEYOND_QUARANTINE, |rig, target, lasts| {
            actions::freeze_without_gateway(rig.process(target), lasts).boxed_local()
        })
    };
    lanes.push(lane(3..9, [freeze(CONFIRMER), freeze(WORKER)]));
    lanes.push(lane(30..60, [freeze(FRONT)]));
    lanes
}

fn broker_lanes(nodes: usize) -> Vec<Lane> {
    let mut of_nodes = vec![
        fault("kill9_node", Affects::Node, NODE_RESTART, |rig, target, _| {
            broker::kill(rig, target.number).boxed_local()
        }),
        fault("sigterm_node", Affects::Node, NODE_RESTART, |rig, target, _| {
            broker::terminate(rig, target.number).boxed_local()
        }),
        fault("sigstop_node", Affects::Node, (5_000, 12_000), |rig, target, lasts| {
            broker::freeze(rig, target.number, lasts).boxed_local()
        }),
    ];
    if nodes > 1 {
        // The leader of the queue of registrations.
        of_nodes.push(fault("kill9_leader", Affects::Fixed, NODE_RESTART, |rig, _, _| {
            broker::kill_leader(rig).boxed_local()
        }));
        of_nodes.push(fault("partition", Affects::Node, (9_000, 14_000), |rig, target, lasts| {
            broker::partition(rig, target.number, lasts).boxed_local()
        }));
    }
    let limits = [
        fault("memory_alarm", Affects::Fixed, (3_000, 5_000), |rig, _, lasts| {
            broker::memory_alarm(rig, lasts).boxed_local()
        }),
        fault("queue_full", Affects::Fixed, (3_000, 6_000), |rig, _, lasts| {
            broker::queue_full(rig, lasts).boxed_local()
        }),
        fault("consumer_timeout", Affects::Fixed, (8_000, 9_000), |rig, _, lasts| {
            broker::consumer_timeout(rig, lasts).boxed_local()
        }),
    ];
    let mut connections = broken("amqp_{mode}", &ROLES, |rig, target, lasts| {
        actions::break_connections(&rig.process(target).broker, target.mode, lasts).boxed_local()
    });
    let of_vendor = Affects::Connections(&[], BROKEN);
    connections.push(fault("vendor_amqp_{mode}", of_vendor, AT_ONCE, |rig, target, lasts| {
        actions::break_connections(&rig.vendor_proxy, target.mode, lasts).boxed_local()
    }));
    vec![lane(4..9, of_nodes), lane(12..22, limits), lane(5..12, connections)]
}

/// Broken connections: one row for each mode.
fn broken(name: &'static str, roles: &'static [&'static str], play: Play) -> Vec<Fault> {
    let rows = BROKEN.chunks(1).map(|mode| fault(name, Affects::Connections(roles, mode), AT_ONCE, play));
    rows.collect()
}

fn ledger() -> Lane {
    let mut faults = broken("ledger_{mode}", &[WORKER, CONFIRMER], |rig, target, lasts| {
        let proxy = rig.process(target).ledger.as_ref().expect("a proxy");
        actions::break_connections(proxy, target.mode, lasts).boxed_local()
    });
    faults.push(fault("ledger_crash", Affects::Fixed, (1_500, 4_000), |rig, _, lasts| {
        actions::crash_ledger(rig, lasts).boxed_local()
    }));
    lane(8..16, faults)
}

/// Faults of OpenCRVS and of the ID system.
fn both_sides() -> Vec<Lane> {
    let mut gateway = broken("gateway_{mode}", &[CONFIRMER], |rig, target, lasts| {
        let proxy = rig.process(target).gateway.as_ref().expect("a proxy");
        actions::break_connections(proxy, target.mode, lasts).boxed_local()
    });
    gateway.extend([
        fault("gateway_down", Affects::Fixed, SERVICE_DOWN, |rig, _, lasts| {
            actions::stop_service(rig, Service::Gateway, lasts).boxed_local()
        }),
        // Every call fails before it has any effect.
        fault("gateway_errors", Affects::Fixed, (2_000, 4_000), |rig, _, lasts| {
            actions::fail_calls(rig, [CallFault::http(503); 2], lasts).boxed_local()
        }),
        // No call is answered, although every write is applied.
        fault("gateway_hangs", Affects::Fixed, (2_000, 4_000), |rig, _, lasts| {
            actions::fail_calls(rig, [CallFault::HANG, CallFault::HANG_AFTER], lasts).boxed_local()
        }),
    ]);
    let others = [
        fault("auth_down", Affects::Fixed, SERVICE_DOWN, |rig, _, lasts| {
            actions::stop_service(rig, Service::Auth, lasts).boxed_local()
        }),
        // The ID system reads requests and sends no replies.
        fault("vendor_silent", Affects::Fixed, (3_000, 8_000), |rig, _, lasts| {
            let silent = async move {
                rig.nid.pause_replies();
                sleep(lasts).await;
                rig.nid.resume_replies();
                1
            };
            silent.boxed_local()
        }),
        fault("vendor_kill", Affects::Fixed, (3_000, 8_000), |rig, _, lasts| {
            actions::kill_vendor(rig, lasts).boxed_local()
        }),
    ];
    let rotation = fault("key_rotation", Affects::Fixed, AT_ONCE, |rig, _, _| {
        rig.opencrvs.rotate_key().expect("a key");
        std::future::ready(1).boxed_local()
    });
    let once = Lane { times: Times::Once(0.2..0.5), faults: vec![rotation] };
    vec![lane(5..12, gateway), lane(8..16, others), once]
}

fn proxies_of_fronts() -> Vec<Lane> {
    // nginx then has no upstream.
    let both = fault("kill9_both_fronts", Affects::Processes(FRONT), AT_ONCE, |rig, _, _| {
        actions::kill_both_fronts(rig).boxed_local()
    });
    // nginx is killed with its workers, in the middle of their requests.
    let nginx = fault("kill9_nginx", Affects::Fixed, (200, 700), |rig, _, lasts| {
        outage::kill_nginx(rig, lasts).boxed_local()
    });
    vec![lane(20..40, [both]), lane(12..24, [nginx])]
}
