//! The data side of `fl-client`: from a dataset's source to shards of pixels, and counts of what each client got.
//!
//! | module | from | to |
//! |---|---|---|
//! | [`config`] | the settings file | settings in range |
//! | [`source`] | tables and folders | rows: image, patient, labels, institution |
//! | [`task`] | rows | samples with a class or labels |
//! | [`placement`] | samples | test side, validation side or one client each |
//! | [`manifest`] | a manifest | proof that no patient is in two places |
//! | [`decode`] | an image file | grey pixels of one size |
//! | [`shard`] | labels and pixels | a mapped file, and back |
//!
//! [`prepare`] runs them in this order; [`stats`] counts the manifest; [`profile`] says what is in a folder before there are
//! settings. Training starts at [`Shard::open`].

pub mod config;
pub mod decode;
pub(crate) mod document;
#[cfg(test)]
mod fixtures;
pub mod manifest;
pub mod placement;
pub mod prepare;
pub mod profile;
pub mod shard;
pub mod source;
pub mod stats;
pub mod task;
#[cfg(test)]
mod tests;

pub use shard::Shard;
