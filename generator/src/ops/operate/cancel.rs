//! `fedwing cancel`: stops a run, so that it can be continued.

use std::{
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    error::OperateError,
    find::{Found, PoolDir},
    live,
    observe::Observer,
    status::{RunState, SystemName},
    tools,
};
use crate::{
    evidence::{Engine, Phase, System},
    ops::OpError,
};

/// How long a run is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long jobs have to leave the queue; where a machine is out of reach, they leave only when it is given up.
const LEAVING: Duration = Duration::from_secs(60);

/// How often it is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(250);

/// A run that was stopped.
#[derive(Debug, Clone, Serialize)]
pub struct CancelResult {
    /// Format version.
    pub fedwing_cancel: u32,
    /// The run's folder.
    pub dir: PathBuf,
    /// Who ran it.
    pub system: SystemName,
    /// How it ended: `stopped`, or what it came to before it heard.
    pub state: RunState,
    /// Its jobs that are done.
    pub done: u64,
    /// Its jobs.
    pub jobs: u64,
}

/// Stops the run at `path` and waits until nobody works on it any more.
///
/// # Errors
/// [`OperateError`]: it is not in progress, cannot be stopped, or does not stop.
pub fn cancel(path: &Path) -> Result<CancelResult, OpError> {
    let found = Found::at(path)?;
    let (local, pool) = match &found {
        Found::Local(dir) => (Some(dir.clone()), None),
        Found::Pool(dir) => (None, Some(dir.clone())),
    };
    let mut observer = Observer::new(found)?;
    let phase = observer.look()?.phase;
    if !matches!(phase, Phase::Waiting | Phase::Running) {
        return Err(OperateError::NotInProgress {
            folder: observer.root().to_owned(),
            state: RunState::from(phase).words(),
        }
        .into());
    }
    if let Some(dir) = &local {
        stop_engine(&dir.record(), dir.root())?;
    }
    if let Some(dir) = &pool {
        remove(dir, &observer)?;
    }
    let begun = Instant::now();
    let root = observer.root().to_owned();
    let mut last = None;
    wait_until_over(&root, || {
        let observed = observer.look()?;
        let queued = observer
            .dag()
            .is_some_and(|dag| dag.all().iter().any(|dag| dag.nodes().in_queue() > 0));
        // Jobs that DAGMan removed leave the queue after it: what ends meanwhile is done, and counts.
        let works = queued && begun.elapsed() < LEAVING;
        let works = works
            || local
                .as_ref()
                .is_some_and(|dir| live::engine(&dir.record()) == Engine::Works);
        let over = observed.phase.is_over() && !works;
        last = Some(observed);
        Ok(over)
    })?;
    let observed = match last {
        Some(observed) => observed,
        None => observer.look()?,
    };
    let work = || observed.work();
    Ok(CancelResult {
        fedwing_cancel: 1,
        dir: root,
        system: observed.system.into(),
        state: observed.phase.into(),
        done: work()
            .filter(|job| job.state == crate::evidence::NodeState::Done)
            .count() as u64,
        jobs: work().count() as u64,
    })
}

/// Tells whoever works on the run in `root`, and so holds a lock on `locked`, what Ctrl-C would: jobs are stopped in order,
/// and that is recorded.
pub fn stop_engine(locked: &Path, root: &Path) -> Result<(), OperateError> {
    let folder = || root.to_owned();
    let pid = live::holder(locked).ok_or_else(|| OperateError::NoProcess { folder: folder() })?;
    // SAFETY: a system call on numbers; the process was found to hold this lock a moment ago.
    if unsafe { libc::kill(pid, libc::SIGTERM) } == -1 {
        return Err(OperateError::Signal {
            pid,
            folder: folder(),
            source: io::Error::last_os_error(),
        });
    }
    Ok(())
}

/// Waits until `over` says so of the run in `root`.
///
/// # Errors
/// [`OperateError::StillThere`]; whatever `over` fails with.
pub fn wait_until_over(root: &Path, mut over: impl FnMut() -> Result<bool, OpError>) -> Result<(), OpError> {
    let begun = Instant::now();
    while !over()? {
        if begun.elapsed() > PATIENCE {
            return Err(OperateError::StillThere {
                folder: root.to_owned(),
                seconds: PATIENCE.as_secs(),
            }
            .into());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Removes DAGMan from the queue: it removes its jobs and writes what is done to a rescue file.
fn remove(dir: &PoolDir, observer: &Observer) -> Result<(), OperateError> {
    if let (System::Pegasus, Some(planned)) = (dir.system, &dir.submit)
        && let Ok(mut command) = tools::tool("pegasus-remove", tools::PEGASUS, &dir.root)
    {
        return tools::run(command.arg(&planned.path)).map(drop);
    }
    let dag = observer.dag().ok_or_else(|| OperateError::NotSubmitted {
        folder: dir.root.clone(),
    })?;
    let own = live::own_job(dag.path()).map(|own| own.job);
    let job = own.or(dag.nodes().starts().last().map(|(_, job)| *job));
    let job = job.ok_or_else(|| OperateError::NotSubmitted {
        folder: dir.root.clone(),
    })?;
    let mut command = tools::tool("condor_rm", tools::HTCONDOR, &dir.root)?;
    tools::run(command.arg(job.cluster.to_string())).map(drop)
}
