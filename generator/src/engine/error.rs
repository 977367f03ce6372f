//! Why a run cannot begin or go on. A job that fails is no such error: it is an outcome.

use std::{
    io,
    path::{Path, PathBuf},
};

use contract::units::Bytes;

use crate::record::RecordError;

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The graph contradicts itself; every contradiction is listed.
    #[error("the workflow cannot be run:\n  {}", .0.join("\n  "))]
    Graph(Vec<String>),
    /// The record cannot be begun, continued or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The folder holds a run of something else.
    #[error("`{}` holds a run of something else: its {what} is {recorded}, not {given}; \
             start this one in another folder", folder.display())]
    OtherRun {
        /// The run's folder.
        folder: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the record says.
        recorded: String,
        /// What was given now.
        given: String,
    },
    /// Programs that are not there or not executable.
    #[error("these programs cannot be executed:\n  {}", .0.join("\n  "))]
    Programs(Vec<String>),
    /// Files or folders no job writes that are not there.
    #[error("these files and folders are read by jobs and are not there:\n  {}", .0.join("\n  "))]
    SourcesMissing(Vec<String>),
    /// A job asks for more memory than there is.
    #[error(
        "job `{job}` asks for {asked} of memory and this machine has {has}: lower its `memory`, or use a larger machine"
    )]
    Memory {
        /// The first such job.
        job: String,
        /// What it asks for.
        asked: Bytes,
        /// What there is.
        has: Bytes,
    },
    /// A job asks for more GPUs than there are.
    #[error(
        "job `{job}` asks for {asked} GPUs and this machine has {has}: lower its `gpus`, or use a machine with more"
    )]
    Gpus {
        /// The first such job.
        job: String,
        /// What it asks for.
        asked: u32,
        /// What there is.
        has: usize,
    },
    /// The run's folder cannot be worked in.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl EngineError {
    pub(super) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { action, path, source }
    }
}
