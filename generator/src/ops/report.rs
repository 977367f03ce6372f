//! `fedwing report`: a run as one HTML file, Markdown and JSON.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::error::OpError;
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
/// [`OpError::Report`] when the record cannot be read, [`OpError::Write`] when the report cannot be written.
pub fn report(dir: &Path) -> Result<ReportResult, OpError> {
    let dir = RunDir::new(dir);
    let report = report::build(&dir)?;
    let folder = dir.report();
    fs::create_dir_all(&folder).map_err(|source| OpError::Write {
        path: folder.clone(),
        source,
    })?;
    let html = folder.join("report.html");
    write(&html, &report::html(&report))?;
    write(&folder.join("report.md"), &report::markdown(&report))?;
    write(&folder.join("report.json"), &report::json(&report))?;
    Ok(ReportResult { report, html })
}

fn write(path: &Path, text: &str) -> Result<(), OpError> {
    write_whole(path, text.as_bytes()).map_err(|source| OpError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Writes a whole file or none.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new()
        .permissions(readable())
        .tempfile_in(folder)?;
    io::Write::write_all(&mut beside, content)?;
    beside.persist(path)?;
    Ok(())
}

fn readable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}
