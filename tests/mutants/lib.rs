//! The rooms that are mutated, under the names that they have in the bridge.

pub mod domain;

pub mod seal;

/// All that these rooms take from `config`.
pub mod config {
    mod secret;

    pub use secret::SecretSource;
}

pub mod nid;
pub mod opencrvs;
