//! `fedwing report`: a run as one HTML file, Markdown and JSON.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{error::OpError, write_text};
use crate::{
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
/// [`OpError::HoldsNoRun`]; [`OpError::Report`] when the record or a file it names cannot be read or was changed;
/// [`OpError::Write`] or [`OpError::WriteWhole`] when the report cannot be written.
pub fn report(dir: &Path) -> Result<ReportResult, OpError> {
    let dir = RunDir::new(dir);
    if !dir.record().exists() {
        return Err(OpError::HoldsNoRun {
            path: dir.root().to_owned(),
        });
    }
    let report = report::build(&dir)?;
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
