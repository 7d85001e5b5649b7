//! What stands in for the outside world.

pub mod guardian;
pub mod rabbitmq;
