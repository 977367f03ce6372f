//! `fedwing report`: a run as one HTML file, Markdown and JSON.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    DatasetResult,
    error::OpError,
    operate::{Found, Observer, OperateError, PoolDir},
    pool_record, write_text,
};
use crate::{
    evidence::Phase,
    record::RunDir,
    report::{self, Report},
};

/// A report and where it was written.
#[derive(Debug, Clone)]
pub struct ReportResult {
    /// The report itself; its JSON form is what `--json` prints.
    pub report: Report,
    /// The HTML file.
    pub html: PathBuf,
}

impl ReportResult {
    /// The report for programs.
    pub fn to_json(&self) -> String {
        report::json(&self.report)
    }
}

/// Makes the report of the run in `dir` and writes it into the run's folder.
///
/// # Errors
/// [`OpError::HoldsNoRun`]; [`OpError::Operate`] when a pool's run was not begun; [`OpError::Report`] when the record or a file it names cannot be read or was changed;
/// [`OpError::Write`] or [`OpError::WriteWhole`] when the report cannot be written.
pub fn report(dir: &Path) -> Result<ReportResult, OpError> {
    let (dir, report) = match Found::at(dir)? {
        Found::Local(_) => {
            let dir = RunDir::new(dir);
            let report = report::build(&dir)?;
            (dir, report)
        }
        Found::Pool(pool) => (pool.run_dir(), of_pool(pool)?),
    };
    let folder = dir.report();
    fs::create_dir_all(&folder).map_err(|source| OpError::Write {
        path: folder.clone(),
        source,
    })?;
    let html = folder.join("report.html");
    write_text(&html, &report::html(&report))?;
    write_text(&folder.join("report.md"), &report::markdown(&report))?;
    write_text(&folder.join("report.json"), &report::json(&report))?;
    Ok(ReportResult { report, html })
}

/// Metrics of each dataset's last round.
pub(super) fn results(made: &ReportResult) -> Vec<DatasetResult> {
    let last = made.report.datasets.iter().filter_map(|dataset| {
        let last = dataset.last.as_ref()?;
        Some(DatasetResult {
            dataset: dataset.name.clone(),
            synthetic: dataset.synthetic,
            round: last.round,
            auroc: last.metrics.auroc,
            accuracy: last.metrics.accuracy,
        })
    });
    last.collect()
}

/// The report of a run on a pool, from the events its files tell.
fn of_pool(dir: PoolDir) -> Result<Report, OpError> {
    let mut observer = Observer::new(Found::Pool(dir.clone()))?;
    let observed = observer.look()?;
    if matches!(observed.phase, Phase::NotSubmitted | Phase::Waiting) {
        return Err(OperateError::NotSubmitted { folder: dir.root }.into());
    }
    let events = pool_record::events(&dir, &observed)?;
    Ok(report::from_events(&dir.run_dir(), events)?)
}
