//! The record of a run: an append-only file of events, and the folder it lies in.
//!
//! Every number a report shows comes from here or from the run's files. Start at [`Event`] and [`RunDir`]; [`read`]
//! gives the events, [`History`] what they say about each job. Only [`Journal`] writes.

mod event;
mod history;
mod journal;
mod read;
mod run_dir;
mod sweep_dir;

pub use event::{Event, FileFact, Outcome, RunOutcome, Stamp};
pub use history::{Attempt, History, JobHistory, RunFacts};
pub use journal::Journal;
pub(crate) use journal::lock;
pub use read::{Reader, RecordError, read};
pub use run_dir::{LogStream, RunDir};
pub use sweep_dir::{SweepAxis, SweepDir, SweepList, SweepListError, SweepPoint, SweepSystem};
