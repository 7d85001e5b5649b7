//! The commands.

pub mod all;
pub mod confirmer;
pub mod demo;
pub mod front;
mod parts;
pub mod worker;
