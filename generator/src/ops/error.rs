//! Why a command did not do what it was asked, and the exit code that says so.

use std::{io, path::PathBuf};

use super::{OperateError, check::CheckResult};
use crate::{emit, engine, plan, report};

/// The exit codes of `fedwing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It is done.
    Done = 0,
    /// A defect of fedwing.
    Unexpected = 1,
    /// The command line is wrong, or names a file that is not there.
    Usage = 2,
    /// The specification or workflow is rejected.
    Rejected = 3,
    /// A job failed.
    JobFailed = 4,
    /// The machine lacks something: a program, memory, a writable folder.
    Environment = 5,
    /// Stopped by Ctrl-C or SIGTERM, in order; `resume` continues. The shell's own code for Ctrl-C.
    Interrupted = 130,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// A file named on the command line cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written whole.
    #[error(transparent)]
    WriteWhole(#[from] contract::job::JobError),
    /// The target folder holds something.
    #[error("`{}` is not empty; choose another folder, or remove it first", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The target folder holds a run.
    #[error("`{0}` holds a run; continue it with `fedwing resume {0}`, or choose another folder", path.display())]
    HoldsRun {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds no run.
    #[error("`{}` holds no run; give the folder that `fedwing run` was given as `--dir`, or one a workflow was \
             generated into", path.display())]
    HoldsNoRun {
        /// The folder.
        path: PathBuf,
    },
    /// The workflow cannot be written.
    #[error("the workflow cannot be written")]
    Emit(#[from] emit::pegasus::WriteError),
    /// A file of the workflow cannot be written.
    #[error("the workflow cannot be written")]
    Sink(#[from] emit::SinkError),
    /// Signals cannot be watched.
    #[error("cannot watch for signals")]
    Signals(#[source] io::Error),
    /// Job binaries are nowhere.
    #[error("cannot find {}: build the workspace, or put them beside `fedwing` or on the PATH", missing.join(" and "))]
    Programs {
        /// The binaries.
        missing: Vec<&'static str>,
    },
    /// The specification has mistakes.
    #[error("the specification is rejected")]
    Rejected(Box<CheckResult>),
    /// The plan cannot be made.
    #[error("the plan cannot be made")]
    Plan(#[from] plan::PlanError),
    /// The workflow cannot be read.
    #[error("the workflow is rejected")]
    Workflow(#[from] emit::pegasus::ReadError),
    /// The engine cannot run.
    #[error("the run cannot go on")]
    Engine(#[from] engine::EngineError),
    /// The run cannot be submitted, followed, stopped or continued.
    #[error(transparent)]
    Operate(#[from] OperateError),
    /// The report cannot be made.
    #[error("the report cannot be made")]
    Report(#[from] report::ReportError),
}

impl OpError {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            OpError::Read { .. } | OpError::NotEmpty { .. } => Exit::Usage,
            OpError::HoldsRun { .. } | OpError::HoldsNoRun { .. } => Exit::Usage,
            OpError::Write { .. }
            | OpError::Programs { .. }
            | OpError::WriteWhole(_)
            | OpError::Engine(_)
            | OpError::Report(_)
            | OpError::Emit(_)
            | OpError::Sink(_)
            | OpError::Signals(_) => Exit::Environment,
            OpError::Rejected(_) | OpError::Workflow(_) => Exit::Rejected,
            OpError::Plan(_) => Exit::Unexpected,
            OpError::Operate(error) => error.exit(),
        }
    }
}
