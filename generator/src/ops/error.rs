//! Why a command did not do what it was asked, and the exit code that says so.

use std::{io, path::PathBuf};

use super::{OperateError, check::CheckResult};
use crate::{diag::Diagnostics, emit, engine, plan, record, report, simulate};

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
    /// A file that should tell of a dataset does not.
    #[error("`{}` tells nothing of the data: {reason}; give what `fl-client profile`, or the `stats` or `prepare` job of an \
             earlier run, wrote", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A folder of images cannot be profiled.
    #[error("`{}` cannot be profiled: {reason}", folder.display())]
    Look {
        /// The folder.
        folder: PathBuf,
        /// Why.
        reason: String,
    },
    /// The specification has mistakes.
    #[error("the specification is rejected")]
    Rejected(Box<CheckResult>),
    /// It is a sweep, and one experiment is wanted.
    #[error(
        "`{file}` is a sweep of {points} points, and this takes one experiment: \
             `fedwing points {file} --point {first}` prints the specification of a point"
    )]
    Sweep {
        /// The specification.
        file: String,
        /// Its points.
        points: usize,
        /// The name of the first.
        first: String,
    },
    /// It is no sweep, and one is wanted.
    #[error("`{file}` is no sweep: it has no `sweep`")]
    NoSweep {
        /// The specification.
        file: String,
    },
    /// A sweep has no such point.
    #[error("`{file}` has no point `{point}`; `fedwing points {file}` lists them")]
    NoPoint {
        /// The specification.
        file: String,
        /// The name as given.
        point: String,
    },
    /// The list of a sweep's points cannot be used.
    #[error(transparent)]
    SweepList(#[from] record::SweepListError),
    /// The copy of a sweep's specification is another one than the list of its points was made of.
    #[error("`{}` is not the specification that the sweep was started from; restore it", path.display())]
    SweepChanged {
        /// The copy.
        path: PathBuf,
    },
    /// The pool file has mistakes.
    #[error("the pool file is rejected")]
    PoolRejected(Box<Diagnostics>),
    /// The pool does not fit the specification.
    #[error(transparent)]
    Simulate(#[from] simulate::WorkloadError),
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
    /// The error with its causes, in a line.
    pub fn in_a_line(&self) -> String {
        let mut words = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            words = format!("{words}: {error}");
            cause = error.source();
        }
        words
    }

    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            OpError::Read { .. } | OpError::NotEmpty { .. } | OpError::Document { .. } => Exit::Usage,
            OpError::HoldsRun { .. } | OpError::HoldsNoRun { .. } => Exit::Usage,
            OpError::Sweep { .. } | OpError::NoSweep { .. } | OpError::NoPoint { .. } => Exit::Usage,
            OpError::Write { .. }
            | OpError::Programs { .. }
            | OpError::Look { .. }
            | OpError::WriteWhole(_)
            | OpError::Engine(_)
            | OpError::Report(_)
            | OpError::Emit(_)
            | OpError::Sink(_)
            | OpError::SweepList(_)
            | OpError::SweepChanged { .. }
            | OpError::Signals(_) => Exit::Environment,
            OpError::Rejected(_) | OpError::PoolRejected(_) | OpError::Simulate(_) | OpError::Workflow(_) => {
                Exit::Rejected
            }
            OpError::Plan(_) => Exit::Unexpected,
            OpError::Operate(error) => error.exit(),
        }
    }
}
