//! The settings, one line for each: type, form, default and the names of its environment variables.
//!
//! The doc comment of a setting is its description in `nidbridge config reference`.
//!
//! Invariant: this is the only place where a setting is named; nothing else reads the environment
//! or the file.

mod front;
mod operations;
mod stages;
mod stores;

pub use front::{FieldsConfig, FrontConfig, OpencrvsConfig};
pub use operations::{AdminConfig, AlertConfig, TelemetryConfig};
pub use stages::{
    BreakerConfig, ConfirmConfig, NidConfig, NumberConfig, SendConfig, SweepConfig, TokenConfig,
};
pub use stores::{BrokerConfig, LedgerConfig, RetentionConfig, SealConfig};
