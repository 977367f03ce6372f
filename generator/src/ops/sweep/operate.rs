//! Sweeps handed to a pool, stopped there and continued.
//!
//! DAGMan runs one DAG whose nodes are the points' DAGs: it is submitted, removed and continued as any other. An ensemble
//! of Pegasus plans and runs points by itself: it is paused and activated, and its points that failed are run again.

use std::{fs, io, path::PathBuf};

use serde::Serialize;

use super::{SweepRun, SweepWatch};
use crate::{
    emit,
    ops::{
        CancelResult, Counts, OperateError, RunState, SubmitResult,
        error::OpError,
        operate::{self, cancel as cancel_run, prepare_again, stop_engine, tools, wait_until_over},
        write_text,
    },
    record::SweepSystem,
};

/// The file that says that points were handed to an ensemble; the script that does it writes it.
pub(super) const HANDED_OVER: &str = emit::sweep::HANDED_OVER;

/// The file that says that an ensemble was paused: its points that are not begun look like those of one that works.
pub(super) const PAUSED: &str = "paused";

/// A sweep that was handed to a pool.
#[derive(Debug, Clone, Serialize)]
pub struct SweepSubmitResult {
    /// Format version.
    pub fedwing_sweep_submit: u32,
    /// The sweep's folder.
    pub dir: PathBuf,
    /// Who runs it.
    pub system: SweepSystem,
    /// Its points.
    pub points: usize,
    /// DAGMan's cluster in the queue, where the tool said it.
    pub cluster: Option<u64>,
}

/// A sweep that was stopped.
#[derive(Debug, Clone, Serialize)]
pub struct SweepCancelResult {
    /// Format version.
    pub fedwing_sweep_cancel: u32,
    /// The sweep's folder.
    pub dir: PathBuf,
    /// Who ran it.
    pub system: SweepSystem,
    /// How it ended: `stopped`, or what it came to before it heard.
    pub state: RunState,
    /// Its jobs.
    pub jobs: Counts,
}

/// Hands a sweep to its pool.
///
/// # Errors
/// [`OperateError`]: it was submitted before, or a tool is missing or failed.
pub fn submit(run: &SweepRun) -> Result<SweepSubmitResult, OpError> {
    let folder = || run.dir.root().to_owned();
    match (run.list.system, run.dag()) {
        (SweepSystem::Local, _) => Err(OperateError::IsLocal { folder: folder() }.into()),
        (_, Some(dag)) => Ok(handed(run, Some(&operate::submit_run(&dag)?))),
        (_, None) => {
            match SweepWatch::new(run.clone())?.look()?.state {
                RunState::NotSubmitted => {}
                RunState::Waiting | RunState::Running => {
                    return Err(OperateError::InProgress { folder: folder() }.into());
                }
                RunState::Done => return Err(OperateError::IsDone { folder: folder() }.into()),
                state @ (RunState::Failed | RunState::Stopped | RunState::Dead) => {
                    return Err(OperateError::Continue {
                        folder: folder(),
                        state: state.words(),
                    }
                    .into());
                }
            }
            ensemble_tool(run)?;
            let mut shell = tools::tool("sh", "a shell", run.dir.root())?;
            tools::run(shell.arg("./submit.sh"))?;
            Ok(handed(run, None))
        }
    }
}

/// Continues a sweep on its pool.
///
/// # Errors
/// [`OperateError`]: it goes on, is done, was never submitted, or a tool is missing or failed.
pub fn resume(run: &SweepRun) -> Result<SweepSubmitResult, OpError> {
    if let Some(dag) = run.dag() {
        return Ok(handed(run, Some(&operate::resume_run(&dag)?)));
    }
    let folder = || run.dir.root().to_owned();
    let status = SweepWatch::new(run.clone())?.look()?;
    match status.state {
        RunState::NotSubmitted => return Err(OperateError::NotSubmitted { folder: folder() }.into()),
        RunState::Waiting | RunState::Running => {
            return Err(OperateError::InProgress { folder: folder() }.into());
        }
        RunState::Done => return Err(OperateError::IsDone { folder: folder() }.into()),
        RunState::Failed | RunState::Stopped | RunState::Dead => {}
    }
    ensemble_tool(run)?;
    ensemble(run, &["activate", run.list.experiment.as_str()])?;
    forget_pause(run)?;
    for (point, path) in status.points.iter().zip(run.folders()) {
        if matches!(point.state, RunState::Failed | RunState::Stopped | RunState::Dead) {
            prepare_again(&path)?;
            let name = format!("{}.{}", run.list.experiment, point.name);
            ensemble(run, &["rerun", &name])?;
        }
    }
    Ok(handed(run, None))
}

/// Stops a sweep and waits until nobody works on it any more.
///
/// # Errors
/// [`OperateError`]: it is not in progress, cannot be stopped, or does not stop.
pub fn cancel(run: &SweepRun) -> Result<SweepCancelResult, OpError> {
    let mut watch = SweepWatch::new(run.clone())?;
    let status = watch.look()?;
    if !matches!(status.state, RunState::Waiting | RunState::Running) {
        return Err(OperateError::NotInProgress {
            folder: run.dir.root().to_owned(),
            state: status.state.words(),
        }
        .into());
    }
    match (run.list.system, run.dag()) {
        (SweepSystem::Local, _) => {
            stop_engine(&run.dir.list(), run.dir.root())?;
            wait_until_over(run.dir.root(), || Ok(operate::holder(&run.dir.list()).is_none()))?;
        }
        (_, Some(dag)) => drop::<CancelResult>(cancel_run(&dag)?),
        (_, None) => {
            ensemble_tool(run)?;
            ensemble(run, &["pause", run.list.experiment.as_str()])?;
            write_text(&run.dir.root().join(PAUSED), "")?;
            for (point, path) in status.points.iter().zip(run.folders()) {
                if matches!(point.state, RunState::Waiting | RunState::Running) {
                    cancel_run(&path)?;
                }
            }
        }
    }
    let status = watch.look()?;
    Ok(SweepCancelResult {
        fedwing_sweep_cancel: 1,
        dir: status.dir,
        system: status.system,
        state: status.state,
        jobs: status.jobs,
    })
}

fn handed(run: &SweepRun, submitted: Option<&SubmitResult>) -> SweepSubmitResult {
    SweepSubmitResult {
        fedwing_sweep_submit: 1,
        dir: run.dir.root().to_owned(),
        system: run.list.system,
        points: run.list.points.len(),
        cluster: submitted.and_then(|submitted| submitted.cluster),
    }
}

fn forget_pause(run: &SweepRun) -> Result<(), OpError> {
    let path = run.dir.root().join(PAUSED);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(OpError::Write { path, source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A missing tool is told before anything is changed.
fn ensemble_tool(run: &SweepRun) -> Result<(), OperateError> {
    tools::tool("pegasus-em", tools::PEGASUS, run.dir.root()).map(drop)
}

fn ensemble(run: &SweepRun, arguments: &[&str]) -> Result<(), OperateError> {
    let mut command = tools::tool("pegasus-em", tools::PEGASUS, run.dir.root())?;
    tools::run(command.args(arguments)).map(drop)
}
