//! The comparison of a sweep's points, from whatever they left.

use std::{fs, path::PathBuf};

use super::SweepRun;
use crate::{
    ops::{
        OperateError,
        error::OpError,
        report::{self, ReportResult},
        write_text,
    },
    report::{
        Comparison, Known, compare as side_by_side, comparison_html, comparison_json, comparison_markdown,
    },
};

/// A comparison and where it was written.
#[derive(Debug, Clone)]
pub struct ComparisonResult {
    /// The comparison itself; its JSON form is what `--json` prints.
    pub comparison: Comparison,
    /// The HTML file.
    pub html: PathBuf,
}

impl ComparisonResult {
    /// The comparison for programs.
    pub fn to_json(&self) -> String {
        comparison_json(&self.comparison)
    }
}

/// Compares the points of a sweep and writes it into the sweep's folder; the report of each point is made anew. `problems`
/// says why points could not be run, in their order, as far as that is known; it may be shorter.
///
/// # Errors
/// [`OpError::Write`] or [`OpError::WriteWhole`] when it cannot be written. What cannot be read of a point is told in the
/// comparison.
pub fn compare(run: &SweepRun, problems: &[Option<String>]) -> Result<ComparisonResult, OpError> {
    let folders: Vec<PathBuf> = run.folders().collect();
    let known =
        run.list.points.iter().zip(&folders).enumerate().map(
            |(index, (point, folder))| match report::report(folder) {
                Ok(ReportResult { report, html: _ }) => Known::Report {
                    report: Box::new(report),
                    link: Some(format!("../points/{}/report/report.html", point.name)),
                },
                Err(OpError::HoldsNoRun { .. } | OpError::Operate(OperateError::NotSubmitted { .. })) => {
                    let problem = problems.get(index).cloned().flatten();
                    problem.map_or(Known::NotBegun, Known::Problem)
                }
                Err(error) => Known::Problem(error.in_a_line()),
            },
        );
    let comparison = side_by_side(&run.list, known);
    let folder = run.dir.report();
    fs::create_dir_all(&folder).map_err(|source| OpError::Write {
        path: folder.clone(),
        source,
    })?;
    let html = folder.join("report.html");
    write_text(&html, &comparison_html(&comparison))?;
    write_text(&folder.join("report.md"), &comparison_markdown(&comparison))?;
    write_text(&folder.join("report.json"), &comparison_json(&comparison))?;
    Ok(ComparisonResult { comparison, html })
}
