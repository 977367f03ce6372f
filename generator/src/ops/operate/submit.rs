//! `fedwing submit` and `fedwing resume` on a pool.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    before_again::{self, Again},
    error::OperateError,
    find::{Found, PoolDir},
    observe::Observer,
    status::{RunState, SystemName},
    tools,
};
use crate::{
    emit::pegasus,
    evidence::{Phase, System},
    ops::OpError,
};

/// What was handed to a pool.
#[derive(Debug, Clone, Serialize)]
pub struct SubmitResult {
    /// Format version.
    pub fedwing_submit: u32,
    /// The run's folder.
    pub dir: PathBuf,
    /// Who runs it.
    pub system: SystemName,
    /// The DAG file.
    pub dag: PathBuf,
    /// DAGMan's cluster in the queue, where the tool said it.
    pub cluster: Option<u64>,
}

/// Hands the workflow at `path` to its pool.
///
/// # Errors
/// [`OperateError`]: it was submitted before, or a tool is missing or failed.
pub fn submit(path: &Path) -> Result<SubmitResult, OpError> {
    let dir = pool(path)?;
    let phase = Observer::new(Found::Pool(dir.clone()))?.look()?.phase;
    let folder = || dir.root.clone();
    match phase {
        Phase::NotSubmitted => {}
        Phase::Waiting | Phase::Running => return Err(OperateError::InProgress { folder: folder() }.into()),
        Phase::Done => return Err(OperateError::IsDone { folder: folder() }.into()),
        Phase::Failed | Phase::Stopped | Phase::Dead => {
            return Err(OperateError::Continue {
                folder: folder(),
                state: RunState::from(phase).words(),
            }
            .into());
        }
    }
    let said = match (dir.system, &dir.submit) {
        (System::Pegasus, None) => plan_and_submit(&dir)?,
        (System::Pegasus, Some(planned)) => run_planned(&dir, &planned.path)?,
        (System::Dagman | System::Local, _) => submit_dag(&dir, &[])?,
    };
    result(&dir, &said)
}

/// Continues the run of a pool at `path` from where it ended.
///
/// # Errors
/// [`OperateError`]: it goes on, is done, was never submitted, or a tool is missing or failed.
pub fn resume(path: &Path) -> Result<SubmitResult, OpError> {
    let dir = pool(path)?;
    let mut observer = Observer::new(Found::Pool(dir.clone()))?;
    let phase = observer.look()?.phase;
    let folder = || dir.root.clone();
    match phase {
        Phase::NotSubmitted => return Err(OperateError::NotSubmitted { folder: folder() }.into()),
        Phase::Waiting | Phase::Running => return Err(OperateError::InProgress { folder: folder() }.into()),
        Phase::Done => return Err(OperateError::IsDone { folder: folder() }.into()),
        Phase::Failed | Phase::Stopped | Phase::Dead => {}
    }
    // A tool that is missing must be told before anything is copied.
    let said = match (dir.system, &dir.submit) {
        (System::Pegasus, Some(planned)) => {
            tools::tool("pegasus-run", tools::PEGASUS, &dir.root)?;
            before_again::prepare(&mut observer)?;
            run_planned(&dir, &planned.path)?
        }
        _ => {
            tools::tool("condor_submit_dag", tools::HTCONDOR, &dir.root)?;
            match before_again::prepare(&mut observer)? {
                Again::Rescue => submit_dag(&dir, &[])?,
                Again::Recover => submit_dag(&dir, &["-update_submit", "-dorecov"])?,
            }
        }
    };
    result(&dir, &said)
}

fn pool(path: &Path) -> Result<PoolDir, OpError> {
    match Found::at(path)? {
        Found::Pool(dir) => Ok(dir),
        Found::Local(dir) => Err(OperateError::IsLocal {
            folder: dir.root().to_owned(),
        }
        .into()),
    }
}

/// What must be done before the run at `path` is started again by others.
///
/// # Errors
/// A file of the run cannot be read or written.
pub fn prepare_again(path: &Path) -> Result<(), OpError> {
    let mut observer = Observer::new(Found::Pool(pool(path)?))?;
    observer.look()?;
    before_again::prepare(&mut observer).map(drop)
}

fn plan_and_submit(dir: &PoolDir) -> Result<String, OperateError> {
    tools::tool("pegasus-plan", tools::PEGASUS, &dir.root)?;
    let mut shell = tools::tool("sh", "a shell", &dir.root)?;
    tools::run(shell.arg("./plan.sh").arg("--submit"))
}

fn run_planned(dir: &PoolDir, submit: &Path) -> Result<String, OperateError> {
    let mut command = tools::tool("pegasus-run", tools::PEGASUS, &dir.root)?;
    // As `plan.sh` sets them.
    command
        .env(pegasus::DIR_VARIABLE, &dir.root)
        .env("PEGASUS_METRICS", "false");
    tools::run(command.arg(submit))
}

fn submit_dag(dir: &PoolDir, options: &[&str]) -> Result<String, OperateError> {
    let dag = dir.dag.as_deref().unwrap_or(Path::new(""));
    let folder = dag.parent().unwrap_or(&dir.root);
    let mut command = tools::tool("condor_submit_dag", tools::HTCONDOR, folder)?;
    tools::run(command.args(options).arg(dag.file_name().unwrap_or_default()))
}

fn result(dir: &PoolDir, said: &str) -> Result<SubmitResult, OpError> {
    // Pegasus says only now where it planned to.
    let dir = match Found::at(&dir.root)? {
        Found::Pool(now) if dir.system == System::Pegasus => now,
        _ => dir.clone(),
    };
    Ok(SubmitResult {
        fedwing_submit: 1,
        dag: dir.dag.unwrap_or_else(|| dir.root.clone()),
        dir: dir.root,
        system: dir.system.into(),
        cluster: cluster(said),
    })
}

/// The number in `1 job(s) submitted to cluster 12.`
fn cluster(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("submitted to cluster ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_read_from_what_the_tool_says() {
        assert_eq!(
            cluster("Submitting job(s).\n1 job(s) submitted to cluster 12.\n"),
            Some(12)
        );
        assert_eq!(cluster("nothing"), None);
    }
}
