//! What lies where in a run's folder.

use std::path::{Path, PathBuf};

/// A run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The run in `root`; nothing is created.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The specification the run was started from, as written.
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.yml")
    }

    /// The events, one JSON object a line.
    pub fn record(&self) -> PathBuf {
        self.0.join("record.jsonl")
    }

    /// Every file jobs wrote or read, by logical name.
    pub fn files(&self) -> PathBuf {
        self.0.join("files")
    }

    /// The directories of jobs that are running or failed.
    pub fn jobs(&self) -> PathBuf {
        self.0.join("jobs")
    }

    /// Output of jobs: `<job>.<attempt>.out` and `.err`.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The report: `report.html`, `report.md`, `report.json`.
    pub fn report(&self) -> PathBuf {
        self.0.join("report")
    }
}
