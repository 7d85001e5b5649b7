//! A simulated ID system: a vendor that follows the queue contract, and that can also misbehave as
//! vendors do.
//!
//! [`Vendor`] decides what is answered and when, without a clock or a broker; [`NidSim`] connects
//! it to the queues.
//!
//! Invariant: the genuine answers keep the contract whatever else is sent. The same submission
//! always gets the same answer, and a request id never gets a second ID, not even from a simulator
//! that was restarted with the same seed.

mod args;
mod behaviour;
mod decision;
mod invalid;
mod outbox;
mod reply;
mod request;
mod service;
mod settings;
mod state;
mod vendor;

pub use args::{NidArgs, run, vendor_link};
pub use decision::{Asked, Decision, Mistake};
pub use invalid::InvalidReply;
pub use reply::{Final, Planned};
pub use service::NidSim;
pub use settings::VendorSettings;
pub use state::NidState;
pub use vendor::Vendor;
