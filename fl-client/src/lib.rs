//! fl-client
pub mod ops;
