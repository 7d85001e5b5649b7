//! Simulators of both sides of the bridge, for integrators and for our own tests.
//!
//! [`opencrvs`] behaves on the wire as OpenCRVS 1.7 to 2.1 does, faults included. [`nid`] is an ID
//! system that follows the queue contract. [`population`] generates the people whom both of them
//! know. [`rabbitmq`] runs a private broker, and [`guardian`] ends that broker when our process
//! ends.
//!
//! Invariant: results are counted from what the simulated OpenCRVS saw; the bridge is never asked.
//! No message is parsed or built here with the bridge's own code. All people are invented, so their
//! data is not protected.

pub mod accounts;
pub mod demo;
pub mod guardian;
mod json;
pub mod nid;
pub mod opencrvs;
pub mod population;
pub mod rabbitmq;
mod random;
pub mod simulate;
