//! Why a run cannot be submitted, followed, stopped or continued.

use std::{io, path::PathBuf};

use crate::{evidence, ops::Exit};

/// Why a run cannot be submitted, followed, stopped or continued.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// Several DAGs, and none of them is the one.
    #[error("`{}` holds several DAGs ({}); name one: `fedwing submit {}/{}`",
            folder.display(), names.join(", "), folder.display(), names.first().map_or("", String::as_str))]
    SeveralDags {
        /// The folder.
        folder: PathBuf,
        /// The DAG files.
        names: Vec<String>,
    },
    /// Nobody started it.
    #[error("`{}` was not submitted yet; `fedwing submit {}` does", folder.display(), folder.display())]
    NotSubmitted {
        /// The run's folder.
        folder: PathBuf,
    },
    /// It is worked on.
    #[error("the run in `{}` is in progress; `fedwing watch {0}` follows it, `fedwing cancel {0}` stops it", folder.display())]
    InProgress {
        /// The run's folder.
        folder: PathBuf,
    },
    /// It began and is not done.
    #[error("`{0}` holds a run that {state}; `fedwing resume {0}` continues it", folder.display())]
    Continue {
        /// The run's folder.
        folder: PathBuf,
        /// How far it is, behind `that`.
        state: &'static str,
    },
    /// There is nothing left to do.
    #[error("the run in `{}` is done; to run it again, generate it into another folder", folder.display())]
    IsDone {
        /// The run's folder.
        folder: PathBuf,
    },
    /// There is nothing to stop.
    #[error("the run in `{}` is not in progress: it {state}", folder.display())]
    NotInProgress {
        /// The run's folder.
        folder: PathBuf,
        /// How far it is, behind `it`.
        state: &'static str,
    },
    /// A run on a pool cannot be told how many jobs to run at once.
    #[error("`--jobs` is for runs on this machine; `{}` is on a pool, which decides itself", folder.display())]
    JobsOnPool {
        /// The run's folder.
        folder: PathBuf,
    },
    /// A workflow on this machine has no queue.
    #[error("`{}` is a run on this machine; `fedwing resume {}` continues it", folder.display(), folder.display())]
    IsLocal {
        /// The run's folder.
        folder: PathBuf,
    },
    /// A program of HTCondor or Pegasus is not here.
    #[error(
        "`{program}` is not on the PATH: run this on the submit host of the pool, where {system} is installed"
    )]
    NoTool {
        /// The program.
        program: &'static str,
        /// Whose it is.
        system: &'static str,
    },
    /// A program of HTCondor or Pegasus cannot be started.
    #[error("cannot start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program of HTCondor or Pegasus failed.
    #[error("`{command}` ended with {ended}:\n{said}")]
    ToolFailed {
        /// The command line.
        command: String,
        /// How it ended.
        ended: String,
        /// The end of what it said.
        said: String,
    },
    /// The process of a local run cannot be found.
    #[error("cannot find the process that works on `{}`; it may be another user's or another machine's: stop it there", folder.display())]
    NoProcess {
        /// The run's folder.
        folder: PathBuf,
    },
    /// The process of a local run cannot be told to stop.
    #[error("cannot stop process {pid}, which works on `{}`", folder.display())]
    Signal {
        /// The process.
        pid: i32,
        /// The run's folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was told to stop and did not.
    #[error("the run in `{}` was told to stop and has not within {seconds} s; `fedwing status` tells when it has", folder.display())]
    StillThere {
        /// The run's folder.
        folder: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A file of the run cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A node log cannot be kept.
    #[error("cannot copy `{}`, which DAGMan empties when it starts again", path.display())]
    Keep {
        /// The node log.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is done cannot be told DAGMan.
    #[error("cannot write `{}`, which tells DAGMan what is done", path.display())]
    Rescue {
        /// The rescue file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the run left cannot be read.
    #[error(transparent)]
    Evidence(#[from] evidence::PoolError),
    /// A DAG of the run cannot be read.
    #[error(transparent)]
    Follow(#[from] evidence::FollowError),
}

impl OperateError {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            Self::SeveralDags { .. }
            | Self::NotSubmitted { .. }
            | Self::InProgress { .. }
            | Self::Continue { .. }
            | Self::IsDone { .. }
            | Self::NotInProgress { .. }
            | Self::JobsOnPool { .. }
            | Self::IsLocal { .. } => Exit::Usage,
            Self::NoTool { .. }
            | Self::Start { .. }
            | Self::ToolFailed { .. }
            | Self::NoProcess { .. }
            | Self::Signal { .. }
            | Self::StillThere { .. }
            | Self::Read { .. }
            | Self::Keep { .. }
            | Self::Rescue { .. }
            | Self::Evidence(_)
            | Self::Follow(_) => Exit::Environment,
        }
    }
}
