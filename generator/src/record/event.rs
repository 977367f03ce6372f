//! What is recorded, as versioned JSON lines.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use contract::{exit::JobExit, job::Failure, units::Bytes};
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

impl Stamp {
    /// The present.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock before 1970 is wrong by decades; times are for people, nothing is decided by them.
        Self(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// One line of the record. The first line is always [`Event::RunStarted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run began in an empty folder.
    RunStarted {
        /// Format version, [`Event::VERSION`].
        fedwing_record: u32,
        /// When.
        at: Stamp,
        /// The fedwing that runs it.
        fedwing: String,
        /// The experiment or workflow.
        name: String,
        /// What was started: absolute path of the specification or workflow.
        source: String,
        /// SHA-256 of the specification or workflow file.
        digest: String,
        /// Whether any dataset is synthetic.
        synthetic: bool,
        /// Number of jobs.
        jobs: u64,
        /// Jobs at once.
        slots: u32,
        /// The machine's name.
        host: String,
    },
    /// A run was continued.
    RunResumed {
        /// When.
        at: Stamp,
        /// Jobs whose recorded outputs are still there, unchanged.
        kept: u64,
        /// Jobs recorded as done that are done again, because an output is missing or changed.
        redone: Vec<String>,
        /// Jobs at once.
        slots: u32,
    },
    /// A file or folder that no job writes, as it was when its first reader could start.
    ///
    /// Recorded again when `resume` finds it changed; its readers are then done again.
    SourceSeen {
        /// When.
        at: Stamp,
        /// Its absolute path.
        path: String,
        /// Its size; of a folder, the sum of its files' sizes.
        size: Bytes,
        /// `sha256:` and the digest of a file's content, or `listing:` and the digest of a folder's names, sizes and
        /// modification times.
        digest: String,
    },
    /// A job's process is about to start.
    JobStarted {
        /// When.
        at: Stamp,
        /// The job.
        job: String,
        /// Counted from 1.
        attempt: u32,
        /// The kind of job.
        kind: String,
        /// The dataset, for jobs of ours.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        dataset: Option<String>,
        /// The round, for jobs of a round.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        round: Option<u32>,
        /// The client, for jobs of a client.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        client: Option<u32>,
        /// Size of its declared inputs.
        input_bytes: Bytes,
    },
    /// A job's process ended and its outputs were looked at.
    JobEnded {
        /// When.
        at: Stamp,
        /// The job.
        job: String,
        /// Counted from 1.
        attempt: u32,
        /// How it ended.
        outcome: Outcome,
        /// Elapsed time in seconds.
        wall_s: f64,
        /// User and system CPU time in seconds.
        cpu_s: f64,
        /// Largest resident memory.
        peak_memory: Bytes,
        /// What it left, when it is done.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        outputs: Vec<FileFact>,
        /// The job's own account, when it failed and left one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        failure: Option<Failure>,
    },
    /// The run ended; a run without this line was killed.
    RunEnded {
        /// When.
        at: Stamp,
        /// How.
        outcome: RunOutcome,
    },
}

impl Event {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;
}

/// How a job's attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Exit 0 and every declared output is there.
    Done,
    /// A non-zero exit code.
    Exit(i32),
    /// Ended by a signal.
    Signal(i32),
    /// Ended by us after its walltime.
    Walltime,
    /// Exit 0 without these declared outputs.
    OutputMissing(Vec<String>),
    /// It never started, for this reason: an input missing or changed, or the program not executable.
    ///
    /// There is a `JobStarted` before it only when starting the program itself failed.
    NotStarted(String),
    /// Ended by us because the run was interrupted.
    Interrupted,
    /// Taken from its machine or its queue by others, for this reason: a pool's policy, a person.
    Removed(String),
}

impl fmt::Display for Outcome {
    /// As the end of a sentence that begins with the job: `train-c2-r1 ended with exit code 20 (out_of_memory)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("is done"),
            Self::Exit(code) => match JobExit::from_code(*code) {
                Some(exit) => write!(f, "ended with exit code {code} ({})", exit.as_str()),
                None => write!(f, "ended with exit code {code}"),
            },
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Walltime => f.write_str("was ended after its walltime"),
            Self::OutputMissing(names) => {
                write!(
                    f,
                    "ended well without its declared output `{}`",
                    names.join("`, `")
                )
            }
            Self::NotStarted(reason) => write!(f, "was not started: {reason}"),
            Self::Interrupted => f.write_str("was ended because the run was interrupted"),
            Self::Removed(reason) => write!(f, "was removed: {reason}"),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every job is done.
    Done,
    /// These jobs failed; what did not depend on them is done.
    Failed(Vec<String>),
    /// Stopped by the user; `resume` continues.
    Interrupted,
}

/// A file as a job left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFact {
    /// Its logical name.
    pub name: String,
    /// Its size.
    pub size: Bytes,
    /// SHA-256 of its content.
    pub sha256: String,
}
