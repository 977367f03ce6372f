//! The graph an executor runs: from a [`super::Plan`], or from a workflow fedwing did not write.

use std::{collections::BTreeMap, fmt, sync::Arc};

use contract::args::Binary;

use crate::check::Request;

/// A logical file name of any workflow: a relative path without `..`; or the absolute path of a file that is kept where
/// its writer leaves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lfn(Arc<str>);

impl Lfn {
    /// Accepts a relative path whose components are neither empty, `.` nor `..`.
    pub fn new(text: &str) -> Option<Self> {
        let ok = !text.contains('\0') && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        ok.then(|| Self(text.into()))
    }

    /// Accepts an absolute path whose components are neither empty, `.` nor `..`: of a file that jobs write and read there.
    pub fn kept(path: &str) -> Option<Self> {
        let below = path.strip_prefix('/')?;
        Self::new(below).map(|_| Self(path.into()))
    }

    /// Whether the file is kept where its writer leaves it: nobody links, moves or copies it.
    pub fn is_kept(&self) -> bool {
        self.0.starts_with('/')
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Lfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Jobs and the files between them.
#[derive(Debug, Clone, Default)]
pub struct Dag {
    /// The experiment or workflow.
    pub name: String,
    /// The jobs; `after` indexes into this list.
    pub jobs: Vec<DagJob>,
    /// Files no job writes.
    pub external: BTreeMap<Lfn, External>,
}

/// Where a file that no job writes comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum External {
    /// A file on this machine.
    Path(String),
    /// Content the plan knows.
    Content(String),
}

/// What a job executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// One of fedwing's job binaries, found beside `fedwing` itself.
    Ours(Binary),
    /// An executable by absolute path.
    Path(String),
}

/// One job of a [`Dag`].
#[derive(Debug, Clone)]
pub struct DagJob {
    /// Unique name.
    pub id: Arc<str>,
    /// What it is about, for progress and reports.
    pub label: Label,
    /// What it executes.
    pub program: Program,
    /// Its arguments, the program's name not included.
    pub argv: Vec<String>,
    /// Environment variables set for it.
    pub env: BTreeMap<String, String>,
    /// Files linked into its directory, or read where they are kept.
    pub inputs: Vec<Lfn>,
    /// Files it must leave in its directory, or where they are kept.
    pub outputs: Vec<Lfn>,
    /// Files in its directory that an interrupted attempt leaves for the next one.
    pub checkpoints: Vec<Lfn>,
    /// The declared output its stdout becomes, if any.
    pub stdout: Option<Lfn>,
    /// The declared output its stderr becomes, if any.
    pub stderr: Option<Lfn>,
    /// The declared input its stdin is, if any.
    pub stdin: Option<Lfn>,
    /// What it asks the machine for.
    pub request: Request,
    /// Attempts after the first.
    pub retries: u32,
    /// Indices of the jobs that must be done before.
    pub after: Vec<u32>,
    /// Absolute paths it reads in place.
    pub in_place: Vec<String>,
}

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The kind of job: a subcommand of ours, or a transformation's name.
    pub kind: Arc<str>,
    /// The dataset, for jobs of ours.
    pub dataset: Option<Arc<str>>,
    /// The round, for jobs of a round.
    pub round: Option<u32>,
    /// The client, for jobs of a client.
    pub client: Option<u32>,
}
