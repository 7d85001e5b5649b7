//! The clients of OpenCRVS's auth against the simulated one.

mod exchange;
mod keys;
