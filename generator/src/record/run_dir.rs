//! What lies where in a run's folder.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// A run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
    files: &'static str,
}

impl RunDir {
    /// The run in `root`; nothing is created.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            files: "files",
        }
    }

    /// The run in `root` whose files arrive in the folder `files` of it.
    #[must_use]
    pub fn with_files_in(self, files: &'static str) -> Self {
        Self { files, ..self }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The specification the run was started from, as written.
    pub fn spec(&self) -> PathBuf {
        self.root.join("spec.yml")
    }

    /// The events, one JSON object a line.
    pub fn record(&self) -> PathBuf {
        self.root.join("record.jsonl")
    }

    /// Every file jobs wrote or read, by logical name.
    pub fn files(&self) -> PathBuf {
        self.root.join(self.files)
    }

    /// The directories of jobs that are running or failed.
    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// Output of jobs: `<job>.<attempt>.out` and `.err`.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The directory of `job` while it runs, and after it failed.
    pub fn job(&self, job: &str) -> PathBuf {
        self.jobs().join(&*folder_name(job))
    }

    /// What `job` wrote to stdout (`.out`) or stderr (`.err`) in one attempt; not there when it wrote nothing.
    pub fn log(&self, job: &str, attempt: u32, stream: LogStream) -> PathBuf {
        let end = match stream {
            LogStream::Out => "out",
            LogStream::Err => "err",
        };
        self.logs().join(format!("{}.{attempt}.{end}", folder_name(job)))
    }

    /// The report: `report.html`, `report.md`, `report.json`.
    pub fn report(&self) -> PathBuf {
        self.root.join("report")
    }
}

/// An output stream of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The longest job name used as it is; the rest of a file name's 255 bytes is for attempt and ending.
const LONGEST: usize = 200;

/// A job's name as one path component: itself where it can be, else its harmless part and a digest of the whole.
fn folder_name(job: &str) -> Cow<'_, str> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !job.is_empty() && job.len() <= LONGEST && !job.starts_with('.') && job.chars().all(harmless) {
        return Cow::Borrowed(job);
    }
    let part: String = job
        .chars()
        .map(|c| if harmless(c) { c } else { '_' })
        .take(100)
        .collect();
    let digest = Sha256::digest(job);
    // `~` stands in no harmless name, so the two kinds never meet.
    let tail: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Cow::Owned(format!("_{part}~{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_names_become_one_path_component_each_and_stay_apart() {
        let long = "x".repeat(400);
        let names = ["train-1", "a/b", "a_b", "..", ".hidden", "", "é", long.as_str()];
        let mut folders: Vec<String> = names.iter().map(|name| folder_name(name).into_owned()).collect();
        for folder in &folders {
            assert!(
                !folder.contains('/') && !folder.starts_with('.') && folder.len() < 220,
                "{folder}"
            );
        }
        assert_eq!(folders[0], "train-1");
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), names.len());
    }
}
