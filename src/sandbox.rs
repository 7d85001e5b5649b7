//! Simulators of both sides of the bridge, for integrators and for our own tests.
//!
//! [`opencrvs`] behaves as OpenCRVS 1.7 to 2.0 does on the wire, faults included; [`nid`] is a
//! vendor on the queue contract; [`population`] generates the people whom both of them know.
//! [`rabbitmq`] runs a private broker, and [`guardian`] ends it when our process ends.
//!
//! Invariant: what OpenCRVS saw is counted here; the bridge is never asked. Nothing here parses or
//! builds a message with the bridge's own code. All people are invented, so their data are not
//! protected.

pub mod accounts;
pub mod demo;
pub mod guardian;
mod json;
pub mod nid;
pub mod opencrvs;
pub mod population;
pub mod rabbitmq;
pub mod simulate;
mod spread;
