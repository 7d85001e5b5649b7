//! Stand-ins for the bridge's surroundings: a sandbox for integrators, and the other side in our own tests.
//!
//! [`opencrvs`] behaves as OpenCRVS 1.7 to 2.0 does on the wire, faults included; [`nid`] is a vendor on the queue
//! contract; [`population`] makes up the people whom both of them know. [`rabbitmq`] runs a private broker, and
//! [`guardian`] sees to it that it does not outlive us.
//!
//! Invariant: what OpenCRVS saw is counted here, never asked of the bridge. Everybody in here is made up, so their
//! data are not protected as those of real people are.

pub mod demo;
pub mod guardian;
pub mod nid;
pub mod opencrvs;
pub mod population;
pub mod rabbitmq;
pub mod simulate;
mod spread;
