//! The record of a run: an append-only file of events, and the folder it lies in.
//!
//! Every number a report shows comes from here or from the run's files. Start at [`Event`] and [`RunDir`].

mod event;
mod run_dir;

pub use event::{Event, FileFact, Outcome, RunOutcome, Stamp};
pub use run_dir::RunDir;
