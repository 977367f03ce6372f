//! The verbs for whatever a folder holds: a run, or the runs of a sweep.

use std::path::Path;

use serde::Serialize;

use super::{
    CancelResult, Exit, OpError, OperateError, ReportResult, RunRequest, RunResult, RunState, Status,
    SubmitResult,
    operate::{self, Found, RunWatch},
    report::report as report_run,
    run,
    sweep::{
        self, ComparisonResult, SweepCancelResult, SweepResult, SweepRun, SweepStatus, SweepSubmitResult,
        SweepWatch,
    },
};
use crate::{engine::Observer, plan::Dag, record::SweepSystem};

/// What was handed to a pool.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Submitted {
    /// A workflow.
    One(SubmitResult),
    /// Those of a sweep.
    Sweep(SweepSubmitResult),
}

/// Hands what is in the folder `dir` to its pool.
///
/// # Errors
/// [`OperateError`]: it was submitted before, or a tool is missing or failed.
pub fn submit(dir: &Path) -> Result<Submitted, OpError> {
    match SweepRun::at(dir)? {
        Some(run) => sweep::submit(&run).map(Submitted::Sweep),
        None => operate::submit_run(dir).map(Submitted::One),
    }
}

/// What was stopped.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Cancelled {
    /// A run.
    One(CancelResult),
    /// A sweep.
    Sweep(SweepCancelResult),
}

/// Stops what is in the folder `dir` and waits until nobody works on it any more.
///
/// # Errors
/// [`OperateError`]: it is not in progress, cannot be stopped, or does not stop.
pub fn cancel(dir: &Path) -> Result<Cancelled, OpError> {
    match SweepRun::at(dir)? {
        Some(run) => sweep::cancel(&run).map(Cancelled::Sweep),
        None => operate::cancel(dir).map(Cancelled::One),
    }
}

/// What continuing came to.
#[derive(Debug)]
pub enum Resumed {
    /// It ran on this machine, to its end.
    Local(RunResult),
    /// A sweep ran on this machine, to its end.
    LocalSweep(SweepResult),
    /// It was handed to its pool again.
    Pool(Submitted),
}

/// Continues what is in the folder `dir`.
///
/// # Errors
/// [`OpError`] before any job ran; a job that fails is a result, not an error.
pub fn resume<O: Observer>(
    dir: &Path,
    request: &RunRequest,
    watch: impl Fn(&Dag) -> O,
) -> Result<Resumed, OpError> {
    let refused = |folder: &Path| match request.jobs {
        Some(_) => Err(OperateError::JobsOnPool {
            folder: folder.to_owned(),
        }),
        None => Ok(()),
    };
    if let Some(run) = SweepRun::at(dir)? {
        if run.list.system == SweepSystem::Local {
            return sweep::resume_here(&run, request, watch).map(Resumed::LocalSweep);
        }
        refused(run.dir.root())?;
        let submitted = sweep::resume_on_pool(&run)?;
        return Ok(Resumed::Pool(Submitted::Sweep(submitted)));
    }
    match Found::at(dir)? {
        Found::Local(_) => run::resume(dir, request, watch).map(Resumed::Local),
        Found::Pool(pool) => {
            refused(&pool.root)?;
            let submitted = operate::resume_run(dir)?;
            Ok(Resumed::Pool(Submitted::One(submitted)))
        }
    }
}

/// How far a run or a sweep is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Seen {
    /// A run.
    One(Box<Status>),
    /// A sweep.
    Sweep(SweepStatus),
}

impl Seen {
    /// How far it is.
    pub fn state(&self) -> RunState {
        match self {
            Seen::One(status) => status.state,
            Seen::Sweep(status) => status.state,
        }
    }

    /// The exit code that says how it ended; [`Exit::Done`] while it goes on.
    pub fn exit(&self) -> Exit {
        self.state().exit()
    }
}

/// A run or a sweep that is watched.
#[derive(Debug)]
pub enum Watch {
    /// A run.
    One(Box<RunWatch>),
    /// A sweep.
    Sweep(Box<SweepWatch>),
}

impl Watch {
    /// Begins to watch what is in the folder `dir`.
    ///
    /// # Errors
    /// [`OpError::HoldsNoRun`]; [`OpError::Operate`] where a file of the run cannot be read.
    pub fn new(dir: &Path) -> Result<Self, OpError> {
        Ok(match SweepRun::at(dir)? {
            Some(run) => Self::Sweep(Box::new(SweepWatch::new(run)?)),
            None => Self::One(Box::new(RunWatch::new(dir)?)),
        })
    }

    /// How far it is now; reads only what is new.
    ///
    /// # Errors
    /// [`OpError::Operate`] where a file of the run cannot be read.
    pub fn look(&mut self) -> Result<Seen, OpError> {
        Ok(match self {
            Self::One(watch) => Seen::One(Box::new(watch.look()?)),
            Self::Sweep(watch) => Seen::Sweep(watch.look()?),
        })
    }
}

/// How far what is in the folder `dir` is.
///
/// # Errors
/// As [`Watch::new`].
pub fn status(dir: &Path) -> Result<Seen, OpError> {
    Watch::new(dir)?.look()
}

/// A report that was made.
#[derive(Debug, Clone)]
pub enum Reported {
    /// Of a run.
    One(Box<ReportResult>),
    /// Of a sweep.
    Sweep(Box<ComparisonResult>),
}

/// Makes the report of the run, or the comparison of the sweep, in the folder `dir`.
///
/// # Errors
/// [`OpError::HoldsNoRun`]; [`OpError::Operate`] when a pool's run was not begun; [`OpError::Report`] when a run's record or a
/// file it names cannot be read or was changed; [`OpError::Write`] or [`OpError::WriteWhole`].
pub fn report(dir: &Path) -> Result<Reported, OpError> {
    Ok(match SweepRun::at(dir)? {
        Some(run) => Reported::Sweep(Box::new(sweep::compare(&run, &[])?)),
        None => Reported::One(Box::new(report_run(dir)?)),
    })
}
