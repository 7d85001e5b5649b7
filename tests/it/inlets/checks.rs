//! The properties of each parser of outside input. Property tests and fuzz targets (`tests/fuzz`)
//! call the same functions.

pub mod amqp;
pub mod bundle;
pub mod config;
pub mod gateway;
pub mod reply;
pub mod spool;
pub mod token;
