//! The data side of `fl-client`: from a dataset's source to shards of pixels, and counts of what each client got.

pub mod shard;

pub use shard::Shard;
