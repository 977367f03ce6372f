//! `fedwing resume`: continues a run, whoever ran it.

use std::path::Path;

use super::{
    OperateError, SubmitResult,
    error::OpError,
    operate::{self, Found},
    run::{self, RunRequest, RunResult},
};
use crate::{engine::Observer, plan::Dag};

/// What continuing a run came to.
#[derive(Debug)]
pub enum Resumed {
    /// It ran on this machine, to its end.
    Local(RunResult),
    /// It was handed to its pool again.
    Pool(SubmitResult),
}

/// Continues the run in `dir`.
///
/// # Errors
/// [`OpError`] before any job ran; a job that fails is a result, not an error.
pub fn resume<O: Observer>(
    dir: &Path,
    request: &RunRequest,
    watch: impl FnOnce(&Dag) -> O,
) -> Result<Resumed, OpError> {
    match Found::at(dir)? {
        Found::Local(_) => run::resume(dir, request, watch).map(Resumed::Local),
        Found::Pool(pool) if request.jobs.is_some() => {
            Err(OperateError::JobsOnPool { folder: pool.root }.into())
        }
        Found::Pool(_) => operate::resume(dir).map(Resumed::Pool),
    }
}
