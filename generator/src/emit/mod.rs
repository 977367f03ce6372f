//! Writes a plan in the languages of workflow systems, and reads theirs.
//!
//! In: [`crate::plan::Plan`]. Out: files, through a [`Sink`]; and back, through a [`Source`], to a
//! [`crate::plan::Dag`]. Pure: sinks and sources are the caller's, no disk is touched here. The same plan gives the
//! same bytes. Start at [`pegasus::write`].

pub mod dagman;
mod directory;
mod jobs;
mod kept;
pub mod pegasus;
mod sink;
pub mod sweep;
pub(crate) mod units;

pub use directory::SinkError;
pub use jobs::{JOBS_FILE, write_jobs};
pub use sink::{FileKind, MemoryFiles, Sink, Source};
