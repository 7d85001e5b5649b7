//! The bridge's clients of OpenCRVS's auth, tested against the simulated auth.

mod exchange;
mod keys;
