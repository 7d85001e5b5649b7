//! The commands.

pub mod confirmer;
pub mod front;
mod parts;
pub mod worker;
