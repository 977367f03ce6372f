//! What fedwing does: one function per command, each with one versioned result type.
//!
//! The edges (command line, agents) only parse arguments, call these and show what comes back. Start at [`check()`],
//! [`show()`], [`generate()`], [`run()`], [`submit`], [`status`], [`resume`] and [`report()`].

mod calibrate;
mod check;
mod error;
mod explain;
mod generate;
mod operate;
mod pool_record;
mod programs;
mod report;
mod run;
mod show;
mod simulate;
mod source;
mod sweep;
mod verbs;
mod workflow;

use std::{fs, io, path::Path};

use contract::job::write_whole;

pub use calibrate::{CalibrateResult, calibrate};
pub use check::{CheckResult, check};
pub use error::{Exit, OpError};
pub use explain::{Explanation, explain, schema};
pub use generate::{GenerateResult, Generated, Target, generate};
pub use operate::{
    CancelResult, Counts, FailedJob, HeldJob, KindStatus, OperateError, RoundStatus, RunState, Status,
    SubmitResult, SystemName,
};
pub use report::ReportResult;
pub use run::{DatasetResult, Ran, RunRequest, RunResult, run};
pub use show::{Look, Reviewed, ShowRequest, Shown, show};
pub use simulate::{Layouts, Predicted, SimulateResult, simulate};
pub use sweep::{
    ComparisonResult, PointInfo, PointResult, PointState, PointStatus, PointsResult, PointsWanted,
    SweepCancelResult, SweepGenerateResult, SweepResult, SweepRun, SweepStatus, SweepSubmitResult,
    SweepWatch, points,
};
pub use verbs::{
    Cancelled, Reported, Resumed, Seen, Submitted, Watch, cancel, report, resume, status, submit,
};

/// Refuses a folder that holds something; one that does not exist is fine.
fn require_empty(folder: &Path) -> Result<(), OpError> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpError::NotEmpty {
            path: folder.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(OpError::Read {
            path: folder.to_owned(),
            source,
        }),
    }
}

/// Writes a whole text file or none.
fn write_text(path: &Path, text: &str) -> Result<(), OpError> {
    Ok(write_whole(path, |out| {
        io::Write::write_all(out, text.as_bytes())
    })?)
}
